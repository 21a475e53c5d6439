# 086_subscription_remade.pl
#		A topic that was deleted and made again while a subscription did not look, and has grown beyond
#		where that was: the last message that was taken tells the two logs apart.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;

my $node = KafkaFdw::Test->new_node('remade', undef,
	conf => "shared_preload_libraries = 'kafka_fdw'\nmax_worker_processes = 16");
my $topic = KafkaFdw::Test->topic('in');

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

sub failure { return KafkaFdw::Test->failure($node, @_); }

sub wait_for { return KafkaFdw::Test->becomes_true($node, @_[ 0, 1 ], 'kafka_subscriptions'); }

sub state { return sql('SELECT state FROM kafka_subscriptions'); }
sub error { return sql('SELECT last_error FROM kafka_subscriptions'); }

# Make the topic again, with other messages.
sub remake
{
	my ($name, $partitions, $n, $value, $config) = @_;

	sql(qq{SELECT kafka_delete_topic('$name', server => 'kafka')});
	$node->poll_query_until('postgres', qq{SELECT NOT EXISTS (SELECT FROM kafka_topics(server => 'kafka') WHERE topic = '$name')})
	  or die 'the topic is not deleted';
	$config //= '{}';
	sql(qq{
		SELECT kafka_create_topic('$name', $partitions, config => '$config', server => 'kafka');
		SELECT count(kafka_send('$name', $value, partition => i % $partitions, server => 'kafka')) FROM generate_series(1, $n) i});
	return;
}

my $workers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'kafka_fdw subscription'";

sub pause
{
	sql(q{SELECT kafka_pause('s')});
	$node->poll_query_until('postgres', "SELECT ($workers) = 0") or die 'the workers do not end';
	return;
}

#----------------------------------------------------------------------
# The same topic is the same, and another one is not
#----------------------------------------------------------------------

sql(qq{
	SELECT kafka_create_topic('$topic', 6, server => 'kafka');
	CREATE FOREIGN TABLE s_in (partition int, "offset" bigint, key text, value text) SERVER kafka OPTIONS (topic '$topic');
	CREATE TABLE s (partition int, "offset" bigint, value text);
	SELECT count(kafka_send('$topic', 'old ' || i, partition => i % 5, server => 'kafka')) FROM generate_series(1, 100) i;
	SELECT kafka_subscribe('s', 's_in', 's', workers => 2)});
wait_for('SELECT count(*) = 100 FROM s', 'read');
is(sql(q{SELECT count(*) FROM kafka_subscription_offset WHERE last_offset = next_offset - 1 AND last_hash IS NOT NULL}), '5',
	'the last message of each partition is remembered');
sql('CREATE ROLE watcher IN ROLE pg_monitor');
is(sql('SET ROLE watcher; SELECT count(*) FROM kafka_subscriptions'), '1', 'those who monitor see the subscription');
like(failure('SET ROLE watcher; SELECT last_hash FROM kafka_subscription_offset'), qr/permission denied/, 'but not what could tell a message');
pause();
sql(q{SELECT kafka_resume('s')});
sql(qq{SELECT kafka_send('$topic', 'more', partition => 0, server => 'kafka')});
wait_for('SELECT count(*) = 101 FROM s', 'the same topic is read on');
$node->restart;
sql(qq{SELECT kafka_send('$topic', 'more', partition => 5, server => 'kafka')});
wait_for(q{SELECT count(*) = 102 FROM s}, 'after a restart, too');
wait_for(q{SELECT state = 'running' FROM kafka_subscriptions}, 'without a complaint');

pause();
remake($topic, 6, 300, "'new ' || i");
like(failure(q{CALL kafka_ingest('s')}), qr/topic "\Q$topic\E" partition \d has another message at offset \d+ than the one that was taken.*kafka_seek/s,
	'by hand, another topic of that name is an error');
sql(q{SELECT kafka_resume('s')});
wait_for(q{SELECT state = 'stopped' FROM kafka_subscriptions}, 'and stops the workers');
like(error(), qr/partition \d has another message at offset \d+ than the one that was taken \(That one was of 20.*, this one is of 20/, 'with its reason');
is(sql(q{SELECT count(*) FROM s WHERE value LIKE 'new%'}), '0', 'nothing of it was stored');
sql(q{TRUNCATE s; SELECT kafka_seek('s', 'earliest'); SELECT kafka_resume('s')});
wait_for(q{SELECT count(*) = 300 AND bool_and(value LIKE 'new%') FROM s}, 'told to, they read it');
wait_for(q{SELECT state = 'running' FROM kafka_subscriptions}, 'and all is well');

sql(q{SELECT kafka_unsubscribe('s')});

#----------------------------------------------------------------------
# Gone: nobody can tell
#----------------------------------------------------------------------

sql(qq{
	TRUNCATE s;
	SELECT kafka_subscribe('s', 's_in', 's')});
wait_for('SELECT count(*) = 300 FROM s', 'read');
pause();
sql(qq{SELECT kafka_delete_records('$topic', 2, 50, server => 'kafka'); SELECT kafka_resume('s')});
wait_for(q{SELECT state = 'unverified' FROM kafka_subscriptions}, 'where the last message was deleted the subscription is unverified');
like(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/WARNING:  topic "\Q$topic\E" partition 2 no longer has the message at offset 49, the last one that was taken/,
	'and the log has a WARNING');
sql(qq{SELECT kafka_send('$topic', 'after', partition => 0, server => 'kafka')});
wait_for(q{SELECT count(*) = 1 FROM s WHERE value = 'after'}, 'it goes on');
is(state(), 'unverified', 'but is as long as it cannot tell');
sql(qq{SELECT kafka_send('$topic', 'after', partition => 2, server => 'kafka')});
wait_for(q{SELECT state = 'running' FROM kafka_subscriptions}, 'until the partition has another message');
pause();
sql(qq{SELECT kafka_delete_records('$topic', 2, 51, server => 'kafka'); SELECT kafka_send('$topic', 'by hand', partition => 2, server => 'kafka')});
my (undef, undef, $warning) = $node->psql('postgres', q{CALL kafka_ingest('s')});
like($warning, qr/WARNING:  topic "\Q$topic\E" partition 2 no longer has the message at offset 50/, 'by hand, there is a WARNING');
(undef, undef, $warning) = $node->psql('postgres', q{CALL kafka_ingest('s')});
is($warning, '', 'once');
is(sql(q{SELECT count(*) FROM s WHERE value = 'by hand'}), '1', 'with the messages behind it');
sql(qq{SELECT kafka_delete_records('$topic', 2, 52, server => 'kafka'); SELECT kafka_resume('s')});
wait_for(q{SELECT state = 'unverified' FROM kafka_subscriptions}, 'unverified again');
sql(q{SELECT kafka_resume('s')});
is(state(), 'running', 'kafka_resume takes it for what it is');
$node->restart;
sql(qq{SELECT kafka_send('$topic', 'restarted', partition => 0, server => 'kafka')});
wait_for(q{SELECT count(*) = 1 FROM s WHERE value = 'restarted'}, 'restarted');
is(state(), 'running', 'for good');
sql(q{SELECT kafka_unsubscribe('s')});

#----------------------------------------------------------------------
# Transactions, and compaction
#----------------------------------------------------------------------

sql(qq{
	TRUNCATE s;
	SELECT kafka_create_topic('$topic.t', 1, server => 'kafka');
	CREATE FOREIGN TABLE t_in (partition int, "offset" bigint, key text, value text) SERVER kafka OPTIONS (topic '$topic.t');
	SELECT kafka_subscribe('s', 't_in', 's')});
my $txn = KafkaFdw::Test->tool('ktxn', KafkaFdw::Test->bootstrap, "$topic.txn");
for my $end (qw(commit abort commit abort))
{
	$txn->ok('begin');
	$txn->ok("fill $topic.t 0 10 $end");
	$txn->ok($end);
}
wait_for(q{SELECT count(*) = 20 AND (SELECT min(next_offset) FROM kafka_subscription_offset) = 44 FROM s}, 'what was committed is stored');
is(sql('SELECT last_offset FROM kafka_subscription_offset'), '31', 'the last message is before markers and what was aborted');
pause();
sql(q{SELECT kafka_resume('s')});
$txn->ok('begin');
$txn->ok("send $topic.t 0 k last");
$txn->ok('commit');
wait_for(q{SELECT count(*) = 21 FROM s}, 'and known again');
wait_for(q{SELECT state = 'running' FROM kafka_subscriptions}, 'as the same');
pause();
remake("$topic.t", 1, 60, q{'new ' || i});
sql(q{SELECT kafka_resume('s')});
wait_for(q{SELECT state = 'stopped' AND last_error LIKE '%has another message%' FROM kafka_subscriptions}, 'or as another');
sql(q{SELECT kafka_unsubscribe('s'); TRUNCATE s});

sql(qq{
	SELECT kafka_create_topic('$topic.c', 1, config => '{"cleanup.policy": "compact", "segment.ms": 100,
		"min.cleanable.dirty.ratio": 0.01, "min.compaction.lag.ms": 0, "max.compaction.lag.ms": 100, "delete.retention.ms": 600000}',
		server => 'kafka');
	CREATE FOREIGN TABLE c_in (partition int, "offset" bigint, key text, value text) SERVER kafka OPTIONS (topic '$topic.c');
	INSERT INTO c_in (key, value) SELECT 'key', i::text FROM generate_series(1, 10) i;
	SELECT kafka_subscribe('s', 'c_in', 's')});
wait_for('SELECT count(*) = 10 FROM s', 'a topic that is compacted');
pause();
my $rolls = 0;
ok(KafkaFdw::Test->wait_until(sub {
	sql(q{INSERT INTO c_in (key, value) VALUES ('key', 'later'), ('roll', 'x')});
	$rolls++;
	return sql(q{SELECT count(*) FROM c_in WHERE "offset" = 9}) == 0;
}), 'loses the last message that was taken');
sql(q{SELECT kafka_resume('s')});
wait_for(q{SELECT count(*) > 10 AND max(value) = 'x' FROM s}, 'and is read on');
like(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/WARNING:  topic "\Q$topic\E.c" partition 0 no longer has the message at offset 9,/,
	'with a WARNING');
wait_for(q{SELECT state = 'running' FROM kafka_subscriptions}, 'which the next message makes good');

done_testing();
