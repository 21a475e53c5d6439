# 083_subscription_failure.pl
#		Messages that cannot be stored, messages that are gone, topics that are not what they were.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;

my $broker = KafkaFdw::Test->new_broker('failure');
my $node = KafkaFdw::Test->new_node('failure', $broker,
	conf => "shared_preload_libraries = 'kafka_fdw'\nmax_worker_processes = 16",
	server_options => "metadata_timeout '2s'");
my $topic = KafkaFdw::Test->topic('in');

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

sub failure { return KafkaFdw::Test->failure($node, @_); }

sub wait_for { return KafkaFdw::Test->becomes_true($node, @_[ 0, 1 ], 'kafka_subscriptions'); }

sub error { my ($name) = @_; return sql("SELECT last_error FROM kafka_subscriptions WHERE name = '$name'"); }

# A worker that has not heard of it yet would go on with what it has fetched, were it resumed.
sub pause
{
	my ($name) = @_;

	sql("SELECT kafka_pause('$name')");
	wait_for(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'kafka_fdw subscription'}, 'paused, the worker ends');
	return;
}

#----------------------------------------------------------------------
# Dead letters
#----------------------------------------------------------------------

sql(qq{
	SELECT kafka_create_topic('$topic', 2, server => 'kafka');
	CREATE FOREIGN TABLE n_in (partition int, "offset" bigint, key text, value int) SERVER kafka OPTIONS (topic '$topic');
	CREATE TABLE parent (id int PRIMARY KEY);
	INSERT INTO parent SELECT generate_series(1, 5000);
	CREATE TABLE n (partition int, "offset" bigint, value int CHECK (value <> 13));
	CREATE TABLE child (value int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
	SELECT count(kafka_send('$topic', CASE WHEN i % 1000 = 7 THEN 'bad ' || i ELSE i::text END, 'k' || i,
		headers => '{"h": "v"}', server => 'kafka')) FROM generate_series(1, 3000) i;
	SELECT kafka_send('$topic', '9999', server => 'kafka');
	SELECT kafka_subscribe('n', 'n_in', 'n', on_failure => 'dead_letter', workers => 0);
	SELECT kafka_subscribe('child', 'n_in', 'child', on_failure => 'dead_letter');
	CALL kafka_ingest('n')});
is(sql('SELECT count(*), count(DISTINCT value), bool_or(value = 13) FROM n'), '2997|2997|f', 'what can be stored is stored');
is(sql(q{SELECT string_agg(convert_from(value, 'UTF8') || ' ' || convert_from(key, 'UTF8') || ' ' || (headers[1]).name || ' '
		|| convert_from((headers[1]).value, 'UTF8'), ', ' ORDER BY value) FROM kafka_dead_letters WHERE subscription = 'n'}),
	'13 k13 h v, bad 1007 k1007 h v, bad 2007 k2007 h v, bad 7 k7 h v', 'the rest are dead letters, with all they had');
like(sql(q{SELECT error FROM kafka_dead_letters WHERE subscription = 'n' AND value = '13'}), qr/violates check constraint "n_value_check"/,
	'and the reason');
is(sql(q{SELECT error FROM kafka_dead_letters WHERE subscription = 'n' AND value = 'bad 7'}), 'invalid input syntax for type integer: "bad 7"',
	'for each');
is(sql(qq{SELECT count(*) FROM kafka_dead_letters d JOIN kafka_read('$topic', max_messages => 10000, server => 'kafka') r
	ON r.partition = d.partition AND r."offset" = d."offset" AND convert_from(d.value, 'UTF8') = r.value AND d."timestamp" = r."timestamp"
	WHERE subscription = 'n'}), '4', 'at the position that it says');
is(sql(q{SELECT lag, batches, rows FROM kafka_subscriptions WHERE name = 'n'}), '0|1|2997', 'they are behind it');
wait_for(q{SELECT (SELECT count(*) FROM child) = 2997 AND count(*) = 4 FROM kafka_dead_letters WHERE subscription = 'child'},
	'a worker does the same');
like(sql(q{SELECT error FROM kafka_dead_letters WHERE subscription = 'child' AND value = '9999'}),
	qr/violates foreign key constraint.*Key \(value\)=\(9999\)/, 'also for what is checked at the commit');
is(sql(q{SELECT kafka_retry_dead_letters('child')}), '0', 'tried again, it fails again');
sql('INSERT INTO parent VALUES (9999); ALTER TABLE n DROP CONSTRAINT n_value_check');
is(sql(q{SELECT kafka_retry_dead_letters('child'), kafka_retry_dead_letters('n')}), '1|1', 'until what was wrong is put right');
is(sql(q{SELECT count(*) FROM child WHERE value = 9999}) . sql(q{SELECT count(*) FROM n WHERE value = 13}), '11', 'then it is stored');
is(sql(q{SELECT count(*) FROM kafka_dead_letters}), '6', 'and no dead letter any more');

# What is not the message's fault stops the subscription and buries nothing.
sql(qq{DROP TABLE child; SELECT kafka_send('$topic', '1', server => 'kafka')});
wait_for(q{SELECT state = 'stopped' FROM kafka_subscriptions WHERE name = 'child'}, 'a dropped table is no fault of a message');
is(sql(q{SELECT count(*) FROM kafka_dead_letters}), '6', 'which is not buried');
sql(q{SELECT kafka_unsubscribe('child'); SELECT kafka_unsubscribe('n')});

#----------------------------------------------------------------------
# New partitions
#----------------------------------------------------------------------

sql(qq{
	SELECT kafka_create_topic('$topic.p', 1, server => 'kafka');
	CREATE FOREIGN TABLE p_in (partition int, "offset" bigint, value text) SERVER kafka OPTIONS (topic '$topic.p');
	CREATE TABLE p (partition int, "offset" bigint, value text);
	SELECT kafka_send('$topic.p', 'old', partition => 0, server => 'kafka');
	SELECT kafka_subscribe('p', 'p_in', 'p', start_offset => 'newest');
	SELECT kafka_add_partitions('$topic.p', 3, server => 'kafka');
	SELECT kafka_send('$topic.p', 'new' || i, partition => i, server => 'kafka') FROM generate_series(0, 2) i});
wait_for(q{SELECT string_agg(value, ',' ORDER BY value) = 'new0,new1,new2' FROM p}, 'new partitions are read from their beginning');
is(sql(q{SELECT partitions FROM kafka_subscriptions}), '3', 'and counted');

#----------------------------------------------------------------------
# Messages that are gone
#----------------------------------------------------------------------

pause('p');
sql(qq{
	SELECT count(kafka_send('$topic.p', 'lost', partition => 1, server => 'kafka')) FROM generate_series(1, 10);
	SELECT kafka_delete_records('$topic.p', 1, 8, server => 'kafka');
	SELECT kafka_resume('p')});
wait_for(q{SELECT state = 'stopped' FROM kafka_subscriptions}, 'deleted messages stop it');
like(error('p'), qr/offsets 1 to 7 of topic "\Q$topic\E.p" partition 1 were deleted before they were read/, 'and which they were');
like(failure(q{CALL kafka_ingest('p')}), qr/offsets 1 to 7 .*kafka_seek\('\.\.\.', '8', 1\)/s, 'by hand it says what to do');
sql(q{SELECT kafka_seek('p', '8', 1); SELECT kafka_resume('p')});
wait_for(q{SELECT count(*) = 3 FROM p WHERE value = 'lost'}, 'sent behind them, it goes on');
sql(q{SELECT kafka_unsubscribe('p'); TRUNCATE p});
sql(q{SELECT kafka_subscribe('w', 'p_in', 'p', on_data_loss => 'warning')});
wait_for(q{SELECT count(*) = 3 FROM p WHERE value = 'lost'}, 'another one, which is told to go on');
pause('w');
sql(qq{
	SELECT count(kafka_send('$topic.p', 'more', partition => 1, server => 'kafka')) FROM generate_series(1, 10);
	SELECT kafka_delete_records('$topic.p', 1, 15, server => 'kafka');
	SELECT kafka_resume('w')});
wait_for(q{SELECT count(*) = 6 FROM p WHERE value = 'more'}, 'does so behind what was deleted');
like(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/WARNING:  offsets 11 to 14 of topic "\Q$topic\E.p" partition 1 were deleted before they were read/,
	'and says so in the log');

# Messages are deleted under workers that read: more of them than those have fetched ahead.
sql(q{CREATE TABLE e (LIKE p); SELECT kafka_subscribe('e', 'p_in', 'e', start_offset => 'newest')});
my $holder = KafkaFdw::Test->session($node);
$holder->query('BEGIN; LOCK TABLE p, e');
my $end = sql(qq{INSERT INTO p_in (partition, value) SELECT 1, 'run' FROM generate_series(1, 80000);
	SELECT high FROM kafka_partitions('$topic.p', 'kafka') WHERE partition = 1});
wait_for(q{SELECT count(*) = 2 FROM pg_locks WHERE relation IN ('p'::regclass, 'e'::regclass) AND NOT granted}, 'two workers are held up');
my $last = $end - 6;
sql(qq{SELECT kafka_delete_records('$topic.p', 1, $last + 1, server => 'kafka')});
$holder->query('COMMIT');
$holder->quit;
wait_for(qq{SELECT (SELECT count(*) FROM p WHERE "offset" > $last) = 5 AND count(*) = 1
	FROM kafka_subscriptions WHERE name = 'e' AND state = 'stopped'}, 'one goes on, the other stops');
my $lost = qr/offsets (\d+) to $last of topic "\Q$topic\E.p" partition 1 were deleted before they were read/;
like(error('e'), $lost, 'and says which offsets they were');
is(sql(q{SELECT offsets->>'1' FROM kafka_subscriptions WHERE name = 'e'}), (error('e') =~ $lost)[0], 'from the first that it has not stored');
my $said = PostgreSQL::Test::Utils::slurp_file($node->logfile);
is(scalar(() = $said =~ /WARNING:  $lost/g), 1, 'the first one says so in the log, once');
unlike($said, qr/while it was being read/, 'and nothing else');
sql(q{SELECT kafka_unsubscribe('e')});

# The topic is deleted, and made again.
sql(qq{SELECT kafka_delete_topic('$topic.p', server => 'kafka')});
wait_for(q{SELECT state = 'retrying' FROM kafka_subscriptions}, 'a deleted topic is waited for');
like(error('w'), qr/\Q$topic\E\.p/, 'with its name');
sql(qq{SELECT kafka_create_topic('$topic.p', 1, server => 'kafka'); SELECT kafka_send('$topic.p', 'other', server => 'kafka')});
wait_for(q{SELECT state = 'stopped' FROM kafka_subscriptions}, 'one that was made again is not the same');
like(error('w'), qr/has no partition 1 any more|does not reach to offset/, 'as it has fewer partitions, or messages');
sql(q{TRUNCATE p; SELECT kafka_seek('w', 'earliest'); SELECT kafka_resume('w')});
wait_for(q{SELECT string_agg(value, ',') = 'other' FROM p}, 'told to, it reads the new one');

#----------------------------------------------------------------------
# A broker that does not answer
#----------------------------------------------------------------------

$broker->pause;
wait_for(q{SELECT state = 'retrying' FROM kafka_subscriptions}, 'a frozen broker is noticed');
$broker->resume;
wait_for(q{SELECT state = 'running' AND last_error IS NULL FROM kafka_subscriptions}, 'and so is that it is back');

# A server that has changed is in force at once; its topic is another one.
my $other = KafkaFdw::Test->new_broker('other');
sql(sprintf q{CREATE SERVER other FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers '%s')}, $other->bootstrap);
sql(qq{SELECT kafka_create_topic('$topic.p', 1, server => 'other'); SELECT kafka_send('$topic.p', x, server => 'other') FROM unnest('{a,b}'::text[]) x});
sql(sprintf q{ALTER SERVER kafka OPTIONS (SET bootstrap_servers '%s')}, $other->bootstrap);
wait_for(q{SELECT state = 'stopped' FROM kafka_subscriptions}, 'a changed server is used');
like(error('w'), qr/has another message at offset 0 than the one that was taken/, 'whose topic is not the one that was read');
sql(q{SELECT kafka_seek('w', 'earliest'); SELECT kafka_resume('w')});
wait_for(q{SELECT 'b' = ANY (array_agg(value)) FROM p}, 'until it is told to');

done_testing();
