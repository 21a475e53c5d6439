# 035_outbox_limits.pl
#		What is scarce: a topic that takes less at once than librdkafka sends, memory for large values, time,
#		processes. And a broker that does not end a transaction.
use strict;
use warnings;

use KafkaFdw::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $broker = KafkaFdw::Test->new_broker('limits');
my $node = KafkaFdw::Test->new_node('limits', $broker, server_options => q(message_timeout_ms '3s'),
	conf => "max_worker_processes = 12\nlog_statement = none");
my $topic = KafkaFdw::Test->topic('limits');
my $small = KafkaFdw::Test->topic('small');

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# All is sent, and to be seen where topics are named.
sub wait_for_empty_outbox
{
	my ($what, @topics) = @_;

	KafkaFdw::Test->becomes_true($node, 'SELECT NOT EXISTS (SELECT FROM kafka_outbox)', "the outbox becomes empty: $what",
		'kafka_relays');
	KafkaFdw::Test->settle($node, $_) foreach @topics;
	return;
}

sub start_relay
{
	sql(q{SELECT kafka_relay_start('kafka')});
	return;
}

sub stop_relay
{
	sql(q{SELECT kafka_relay_stop('kafka')});
	KafkaFdw::Test->becomes_true($node, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'kafka_fdw relay')",
		'the relay is stopped', 'kafka_relays');
	return;
}

sql(qq{SELECT kafka_create_topic('$topic', 1, server => 'kafka'),
	kafka_create_topic('$small', 2, config => '{"max.message.bytes": "10000"}', server => 'kafka')});

#----------------------------------------------------------------------
# max.message.bytes is a limit on what is sent at once
#----------------------------------------------------------------------

# Messages of which each is small enough, and two that are not; beside them those of another topic.
stop_relay();
sql(qq{SELECT count(kafka_enqueue('$small', i || repeat('.', 150), (i % 20)::text, server => 'kafka')) FROM generate_series(1, 3000) i;
	SELECT kafka_enqueue('$small', repeat('y', 9000), 'nearly', server => 'kafka');
	SELECT kafka_enqueue('$small', repeat('z', 11000), 'little', server => 'kafka');
	SELECT kafka_enqueue('$small', repeat('z', 500000), 'much', server => 'kafka');
	SELECT count(kafka_enqueue('$topic', i::text, server => 'kafka')) FROM generate_series(1, 3000) i});
start_relay();
wait_for_empty_outbox('messages of a topic that takes few at once', $topic, $small);
is(sql(q{SELECT string_agg(convert_from(key, 'UTF8') || ' ' || length(value) || ' ' || error, ', ' ORDER BY id) FROM kafka_dead_letters}),
	'little 11000 Broker: Message size too large, much 500000 Broker: Message size too large',
	'only those that are too large are refused');
is(sql(qq{SELECT count(*), count(DISTINCT value) FROM kafka_read('$small', max_messages => 10000, server => 'kafka')}), '3001|3001',
	'the others arrive, once each');
is(sql(qq{SELECT count(*) FROM (SELECT partition, split_part(value, '.', 1)::int AS i, lag(split_part(value, '.', 1)::int)
		OVER (PARTITION BY key ORDER BY "offset") AS previous
	FROM kafka_read('$small', max_messages => 10000, server => 'kafka') WHERE key <> 'nearly') m WHERE previous > i}), '0',
	'those of a key in their order');
is(sql(qq{SELECT count(*), count(DISTINCT value) FROM kafka_read('$topic', max_messages => 10000, server => 'kafka')}), '3000|3000',
	'and those of the other topic');
is(sql('SELECT sent, refused FROM kafka_relays'), '6001|2', 'they are counted as what they were');
sql('DELETE FROM kafka_dead_letters');

#----------------------------------------------------------------------
# Values of which a batch holds a few
#----------------------------------------------------------------------

# In memory they are large; stored they are not.
stop_relay();
sql(qq{SELECT count(kafka_enqueue('$topic', repeat('x', 8000000), i::text, server => 'kafka')) FROM generate_series(1, 40) i;
	SELECT count(kafka_enqueue('$topic', '', headers => jsonb_build_object('h', repeat('x', 8000000)), server => 'kafka'))
		FROM generate_series(1, 40) i;
	SELECT kafka_enqueue('$topic', 'last', server => 'kafka')});
start_relay();
wait_for_empty_outbox('large values', $topic);
is(sql('SELECT count(*) FROM kafka_dead_letters'), '80', 'they are refused');
is(sql(qq{SELECT value FROM kafka_last('$topic', 1, 'kafka')}), 'last', 'and the others go on');
my $pid = sql(q{SELECT pid FROM kafka_relays WHERE server = 'kafka'});
my ($peak) = slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m;
note "the relay took $peak kB";
cmp_ok($peak, '<', 300_000, 'a relay reads no more of them at once than it sends');

#----------------------------------------------------------------------
# A batch that fails is tried again by halves
#----------------------------------------------------------------------

sub transactions
{
	KafkaFdw::Test->settle($node, '_kafka_fdw_relay');
	return sql(q{SELECT count(*) FROM kafka_read('_kafka_fdw_relay', max_messages => 100000, server => 'kafka')});
}

my $before = transactions();
$broker->pause;
sql(qq{SELECT count(kafka_enqueue('$topic', 'half ' || i, server => 'kafka')) FROM generate_series(1, 10000) i});
KafkaFdw::Test->becomes_true($node, q{SELECT r.state = 'waiting' AND p.batch IS NOT NULL AND p.batch_rows = 10000
	FROM kafka_relay r JOIN kafka_relay_progress p USING (serverid, mapping)}, 'a batch fails', 'kafka_relays');
$broker->resume;
wait_for_empty_outbox('a batch that failed', $topic);
cmp_ok(transactions() - $before, '>=', 2, 'it is sent by halves');
is(sql(qq{SELECT count(*), count(DISTINCT value) FROM kafka_read('$topic', max_messages => 100000, server => 'kafka')
	WHERE value LIKE 'half %'}), '10000|10000', 'and arrives once');

#----------------------------------------------------------------------
# A broker that does not end a transaction
#----------------------------------------------------------------------

# No message is at fault, and none was sent: the relay has to look what became of them. (The mock cluster shows
# aborted messages. Those of the control topic among them, so there it finds that they were sent.)
my $mock = KafkaFdw::Test->tool('kmock', 1);

$mock->ok($_) foreach 'topic _kafka_fdw_relay 1 1', 'topic ends 1 1';
KafkaFdw::Test->create_server($node, 'mock', $mock->greeting);
sql(q{SELECT kafka_enqueue('ends', 'one', server => 'mock')});
wait_for_empty_outbox('of a mock cluster');
$mock->ok('error 26 1 -1');
sql(q{SELECT kafka_enqueue('ends', 'two', server => 'mock')});
wait_for_empty_outbox('of one that does not end a transaction');
like(sql(q{SELECT last_error FROM kafka_relays WHERE server = 'mock'}), qr/could not commit a Kafka transaction/, 'it does not take them for sent');
sql('DROP SERVER mock CASCADE');

#----------------------------------------------------------------------
# No process for a relay
#----------------------------------------------------------------------

# PostgreSQL's own launcher of logical replication has the only one.
$node->append_conf('postgresql.conf', 'max_worker_processes = 1');
$node->restart;
my ($status, $out, $err) = $node->psql('postgres', "SELECT kafka_enqueue('$topic', 'no process', server => 'kafka')");
is($status, 0, 'a message is stored');
like($err, qr/WARNING:  could not start a relay for Kafka: no background worker slot is free\nDETAIL:  The message is stored, and waits\.\nHINT:  .*max_worker_processes/,
	'with a warning');
is(sql(q{SELECT waiting, state FROM kafka_relays WHERE server = 'kafka'}), '1|down', 'and waits');
$node->append_conf('postgresql.conf', 'max_worker_processes = 12');
$node->restart;
sql("SELECT kafka_enqueue('$topic', 'a process', server => 'kafka')");
wait_for_empty_outbox('the next message starts a relay', $topic);
is(sql(qq{SELECT string_agg(value, ', ' ORDER BY "offset") FROM kafka_last('$topic', 2, 'kafka')}), 'no process, a process', 'which sends both');

$node->stop;
done_testing();
