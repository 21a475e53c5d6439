# 084_subscription_copy.pl
#		Copies of a database: their subscriptions are there, with their offsets, and at rest.
use strict;
use warnings;

use KafkaFdw::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = KafkaFdw::Test->new_node('original', undef,
	conf => "shared_preload_libraries = 'kafka_fdw'\nmax_worker_processes = 16");
my $topic = KafkaFdw::Test->topic('in');

sub failure
{
	my ($node, $dbname, $sql) = @_;
	my ($status, $out, $err) = $node->psql($dbname, $sql);

	return $status == 0 ? "no error: $out" : $err;
}

$node->safe_psql('postgres', qq{
	CREATE ROLE alice;
	GRANT CREATE ON SCHEMA public TO alice;
	GRANT USAGE ON FOREIGN SERVER kafka TO alice;
	SELECT kafka_create_topic('$topic', 2, server => 'kafka');
	SELECT count(kafka_send('$topic', i::text, server => 'kafka')) FROM generate_series(1, 100) i;
	SET ROLE alice;
	CREATE FOREIGN TABLE "t in" (value text) SERVER kafka OPTIONS (topic '$topic');
	CREATE TABLE t (value text);
	SELECT kafka_subscribe('s', '"t in"', 't')});
$node->poll_query_until('postgres', 'SELECT count(*) = 100 FROM t') or die 'no rows';
my $row = 'SELECT name, owner, source, target, offsets, rows FROM kafka_subscriptions';
my $before = $node->safe_psql('postgres', $row);

# A dump, restored on another server
my $other = PostgreSQL::Test::Cluster->new('restored');
$other->init;
$other->append_conf('postgresql.conf', "shared_preload_libraries = 'kafka_fdw'\nmax_worker_processes = 16");
$other->start;
my $dump = "$PostgreSQL::Test::Utils::tmp_check/subscription.sql";
$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'dumped');
$other->safe_psql('postgres', 'CREATE ROLE alice');
$other->command_ok([ 'psql', '-Xqv', 'ON_ERROR_STOP=1', '-f', $dump, 'postgres' ], 'restored');
is($other->safe_psql('postgres', $row), $before, 'a dump has subscriptions with their offsets');
is($other->safe_psql('postgres', 'SELECT state FROM kafka_subscriptions'), 'fenced', 'which are fenced');
$other->restart;
like(failure($other, 'postgres', q{CALL kafka_ingest('s')}), qr/belongs to another copy of this database/, 'by hand too');
like(failure($other, 'postgres', q{SELECT kafka_resume('s')}), qr/kafka_adopt/, 'until they are adopted');
$node->safe_psql('postgres', "SELECT kafka_send('$topic', '101', server => 'kafka')");
$node->poll_query_until('postgres', 'SELECT count(*) = 101 FROM t') or die 'no rows';
is($other->safe_psql('postgres', 'SELECT count(*) FROM t'), '100', 'the original alone goes on');
is($other->safe_psql('postgres', q{SELECT kafka_subscribe('t', '"t in"', 't', workers => 0);
	SELECT string_agg(id::text, ',' ORDER BY id) FROM kafka_subscription}), "\n1,2", 'new ones have numbers of their own');

# A clone in the same server
$node->safe_psql('postgres', q{SELECT kafka_pause('s')});
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'kafka_fdw subscription'}) or die;
$node->safe_psql('template1', 'CREATE DATABASE clone TEMPLATE postgres');
is($node->safe_psql('clone', 'SELECT state FROM kafka_subscriptions'), 'fenced', 'a clone in the same server is another copy');
is($node->safe_psql('postgres', 'SELECT state FROM kafka_subscriptions'), 'paused', 'the original is not');

done_testing();
