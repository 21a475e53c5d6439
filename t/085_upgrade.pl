# 085_upgrade.pl
#		pg_upgrade: subscriptions, their offsets and what waits in the outbox are there in the new server,
#		at rest until they are adopted; then every message goes on, once.
use strict;
use warnings;

use Cwd qw(getcwd);
use KafkaFdw::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $conf = "shared_preload_libraries = 'kafka_fdw'\nmax_worker_processes = 16";
my $old = KafkaFdw::Test->new_node('old', undef, conf => $conf);
my $topic = KafkaFdw::Test->topic('upgrade');

sub wait_for
{
	my ($node, $query, $what) = @_;

	return KafkaFdw::Test->becomes_true($node, $query, $what, 'kafka_subscriptions');
}

$old->safe_psql('postgres', qq{
	CREATE ROLE alice;
	GRANT CREATE ON SCHEMA public TO alice;
	GRANT USAGE ON FOREIGN SERVER kafka TO alice;
	SELECT kafka_create_topic('$topic.in', 2, server => 'kafka');
	SELECT kafka_create_topic('$topic.out', 1, server => 'kafka');
	CREATE FOREIGN TABLE t_out ("offset" bigint, value text) SERVER kafka OPTIONS (topic '$topic.out');
	CREATE TABLE published (id int PRIMARY KEY);
	SELECT kafka_publish_table('published', '$topic.out', format => 'row');
	INSERT INTO published VALUES (1);
	SET ROLE alice;
	CREATE FOREIGN TABLE t_in (partition int, "offset" bigint, value text) SERVER kafka OPTIONS (topic '$topic.in');
	CREATE TABLE t (partition int, "offset" bigint, value text);
	INSERT INTO t_in (value) SELECT 'old ' || i FROM generate_series(1, 100) i;
	SELECT kafka_subscribe('s', 't_in', 't')});
wait_for($old, 'SELECT count(*) = 100 FROM t', 'the old server takes messages');
wait_for($old, q{SELECT count(*) = 0 FROM kafka_outbox}, 'and sends some');
$old->safe_psql('postgres', q{SELECT kafka_relay_stop('kafka')});
$old->poll_query_until('postgres', q{SELECT state = 'stopped' FROM kafka_relays}) or die 'the relay does not stop';
$old->safe_psql('postgres', q{INSERT INTO published VALUES (2), (3)});

# Messages wait for a subscription that is to run, and whose worker would come with any start of the
# server: the table says so once its worker is gone.
$old->safe_psql('postgres', q{SELECT kafka_pause('s')});
$old->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'kafka_fdw subscription'})
  or die 'the worker does not end';
$old->safe_psql('postgres', q{
	INSERT INTO t_in (value) SELECT 'waiting ' || i FROM generate_series(1, 20) i;
	UPDATE kafka_subscription SET state = 'running'});
my $row = 'SELECT name, owner, source, target, offsets, rows, batches FROM kafka_subscriptions';
my $before = $old->safe_psql('postgres', $row);
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init;
$new->append_conf('postgresql.conf', $conf);
my $bindir = $old->config_data('--bindir');
my $folder = getcwd;
chdir $PostgreSQL::Test::Utils::tmp_check or die;
command_ok([ 'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $bindir, '-B', $bindir,
		'-s', $new->host, '-p', $old->port, '-P', $new->port ], 'pg_upgrade');
chdir $folder or die;
$new->start;
is($new->safe_psql('postgres', $row), $before, 'subscriptions and offsets are as they were before it');
is($new->safe_psql('postgres', 'SELECT count(*) FROM t'), '100', 'and so is the table');
is($new->safe_psql('postgres', 'SELECT state FROM kafka_subscriptions'), 'fenced', 'fenced, all of them');
is($new->safe_psql('postgres', 'SELECT count(*) FROM kafka_outbox'), '2', 'so is what waits in the outbox');
is($new->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type IN ('kafka_fdw relay', 'kafka_fdw subscription')}),
	'0', 'nothing runs');
$new->safe_psql('postgres', 'SELECT kafka_adopt()');
wait_for($new, 'SELECT count(*) = 120 FROM t', 'adopted, the subscription goes on');
is($new->safe_psql('postgres', 'SELECT count(DISTINCT (partition, "offset")), count(DISTINCT value) FROM t'), '120|120', 'with every message once');
$new->safe_psql('postgres', q{SELECT kafka_relay_start('kafka'); INSERT INTO published VALUES (4)});
wait_for($new, 'SELECT count(*) = 0 FROM kafka_outbox', 'the relay goes on, too');
# A transaction that is committed is to be seen when its marker is in the topic.
$new->poll_query_until('postgres', 'SELECT count(*) >= 4 FROM t_out') or die 'the changes are not in the topic';
is($new->safe_psql('postgres', q{SELECT string_agg(value, ' ' ORDER BY "offset") FROM t_out}),
	'{"id":1} {"id":2} {"id":3} {"id":4}', 'with every change once');

done_testing();
