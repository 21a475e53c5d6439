# 080_subscription.pl
#		Kafka into tables: each message once, whatever dies; and by hand.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;
use Time::HiRes qw(time usleep);

my $broker = KafkaFdw::Test->new_broker('subscription');
my $node = KafkaFdw::Test->new_node('subscription', $broker,
	conf => "restart_after_crash = on\nmax_worker_processes = 16\nlog_error_verbosity = verbose");
my $topic = KafkaFdw::Test->topic('in');

sub sql
{
	my ($sql) = @_;

	return $node->safe_psql('postgres', $sql);
}

# What a statement that fails prints.
sub fails { return KafkaFdw::Test->failure($node, @_); }

sub wait_for { return KafkaFdw::Test->becomes_true($node, @_[ 0, 1 ], 'kafka_subscriptions'); }

sql(qq{
	SELECT kafka_create_topic('$topic', 2, server => 'kafka');
	CREATE FOREIGN TABLE t_in (partition int, "offset" bigint, "timestamp" timestamptz, key text, value text, headers jsonb)
		SERVER kafka OPTIONS (topic '$topic');
	CREATE TABLE t (partition int, "offset" bigint, value text)});

#----------------------------------------------------------------------
# By hand
#----------------------------------------------------------------------

sql(qq{
	SELECT kafka_subscribe('hand', 't_in', 't', workers => 0);
	INSERT INTO t_in (key, value) SELECT i::text, 'v' || i FROM generate_series(1, 1000) i});
sql(q{CALL kafka_ingest('hand')});
is(sql('SELECT count(*), count(DISTINCT value), count(DISTINCT (partition, "offset")) FROM t'),
	'1000|1000|1000', 'a batch by hand stores every message once');
sql(q{CALL kafka_ingest('hand')});
is(sql('SELECT count(*) FROM t'), '1000', 'and nothing twice');
is(sql(q{SELECT name, source, target, state, partitions, lag, rows, batches, last_error, offsets = (SELECT jsonb_object_agg(partition, n)
	FROM (SELECT partition, max("offset") + 1 AS n FROM t GROUP BY 1) x) FROM kafka_subscriptions}),
	'hand|t_in|t|running|2|0|1000|1||t', 'the view says how far it has come');

sql(q{INSERT INTO t_in (key, value) VALUES ('a', 'a'); BEGIN; CALL kafka_ingest('hand'); ROLLBACK});
is(sql('SELECT count(*) FROM t'), '1000', 'rolled back ...');
sql(q{BEGIN; CALL kafka_ingest('hand'); COMMIT});
is(sql('SELECT count(*) FROM t'), '1001', '... with the offsets');

sql(q{
	SELECT kafka_unsubscribe('hand');
	CREATE TABLE hits (value text PRIMARY KEY, n bigint);
	CREATE FUNCTION twice() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM t_in); END';
	SELECT kafka_subscribe('command', 't_in', workers => 0, batch_size => 300, command => $$
		INSERT INTO hits SELECT left(value, 2), count(*) + 0 * twice() FROM t_in GROUP BY 1
		ON CONFLICT (value) DO UPDATE SET n = hits.n + excluded.n$$);
	CALL kafka_ingest('command'); CALL kafka_ingest('command'); CALL kafka_ingest('command'); CALL kafka_ingest('command');
	CALL kafka_ingest('command')});
is(sql('SELECT sum(n) FROM hits'), '1001', 'a command sees just the batch');
sql(q{SELECT kafka_unsubscribe('command'); TRUNCATE t});

#----------------------------------------------------------------------
# By a worker
#----------------------------------------------------------------------

sql(q{SELECT kafka_subscribe('w', 't_in', 't')});
wait_for('SELECT count(*) = 1001 FROM t', 'a worker stores what is there');
sql(q{INSERT INTO t_in (key, value) SELECT i::text, 'w' || i FROM generate_series(1, 50000) i});
wait_for('SELECT count(*) = 51001 FROM t', 'and what comes');
is(sql('SELECT count(DISTINCT (partition, "offset")) FROM t'), '51001', 'once each');

diag sql('SELECT * FROM kafka_subscriptions');
done_testing();
