# A cluster of three nodes: topics whose partitions have their leaders on different nodes, and nodes
# that go away and come back while they are read and written to.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;

my $cluster = KafkaFdw::Test->new_cluster('three');
my $patience = "metadata_timeout '60s', message_timeout_ms '2min'";
my $node = KafkaFdw::Test->new_node('cluster', $cluster, server_options => $patience);
my $topic = KafkaFdw::Test->topic('replicated');
my $rows = 30_000;
my $complete = join '|', $rows, $rows, $rows * ($rows + 1) / 2;
my $count_rows = 'SELECT count(*), count(DISTINCT value), sum(value) FROM replicated WHERE value > 0';

$node->safe_psql('postgres', qq{
	SELECT kafka_create_topic('$topic', 12, 3, '{"min.insync.replicas": "2"}');
	CREATE FOREIGN TABLE replicated ("offset" bigint, value int) SERVER kafka OPTIONS (topic '$topic');
	INSERT INTO replicated (value) SELECT i FROM generate_series(1, $rows) i;
});
is($node->safe_psql('postgres', $count_rows), $complete, 'all rows of twelve partitions on three nodes');

# One node of three may go, whichever it is: what was acknowledged is there, and sending goes on.
foreach my $n (1 .. 3)
{
	$cluster->kill($n);
	is($node->safe_psql('postgres', $count_rows), $complete, "all rows are read without node $n");
	is( $node->safe_psql('postgres', qq{
			INSERT INTO replicated (value) SELECT 0 FROM generate_series(1, 1000);
			SELECT count(*) FROM replicated WHERE value = 0}),
		1000 * $n, "rows are sent without node $n");
	$cluster->start($n);
	# Or what comes next is that two are away.
	$node->poll_query_until('postgres',
		"SELECT bool_and(cardinality(isr) = 3 AND leader IS NOT NULL) FROM kafka_partitions('$topic')")
	  or die "node $n does not catch up";
}

# A partition that is lost is noticed while the others deliver, not only when they are done: these have
# enough for this reader to be busy for minutes.
my $lonely = KafkaFdw::Test->topic('lonely');
my $session = KafkaFdw::Test->session($node);

KafkaFdw::Test->create_server($node, 'impatient', $cluster, "metadata_timeout '5s'");
$node->safe_psql('postgres', qq{
	SELECT kafka_create_topic('$lonely', 3, 1, server => 'kafka');
	CREATE FOREIGN TABLE lonely (partition int, value text) SERVER impatient OPTIONS (topic '$lonely');
	CREATE FOREIGN TABLE filled (partition int, value text) SERVER kafka OPTIONS (topic '$lonely');
	INSERT INTO filled SELECT i % 3, repeat('x', 100) FROM generate_series(1, 90000) i;
});
$session->query('BEGIN; DECLARE c CURSOR FOR SELECT partition FROM lonely WHERE pg_sleep(0.005) IS NOT NULL');
$session->query('FETCH 10 FROM c');
$cluster->kill(2);
$session->clear;
$session->send('MOVE 90000 FROM c');
ok($session->wait_for_error(qr/ERROR:  could not read topic "\Q$lonely\E" partition \d beyond offset \d+/m),
	'a lost partition is noticed while others deliver');
$session->finish;
like($session->stderr, qr/Nothing came from the broker for \d+ ms/, 'the error says for how long');
$session->quit;
$cluster->start(2);

# The stall. librdkafka before 2.2 looks at a partition whose queue was full only once a second, unless
# the thread of its broker is woken. Here ten brokers are connected, one of them has all messages, in
# batches that fill the queue at once, and the reader is slow: woken at random, the right broker was
# asleep for one to three seconds of this scan.
my $mock = KafkaFdw::Test->tool('kmock', 10);

$mock->ok('topic wide 10 1');
$mock->ok('topic long 1 1');
KafkaFdw::Test->create_server($node, 'mock', $mock->greeting, "linger_ms '500', $patience");
$node->safe_psql('postgres', q{
	CREATE FOREIGN TABLE wide (partition int, value text) SERVER mock;
	CREATE FOREIGN TABLE long (value text) SERVER mock;
	INSERT INTO wide SELECT i % 10, i FROM generate_series(1, 10000) i;
	INSERT INTO long SELECT '' FROM generate_series(1, 300000) i;
});

my $shortest;

foreach my $run (1 .. 3)
{
	last if defined $shortest && $shortest < 600;
	my $plan = $node->safe_psql('postgres', q{
		SET jit = off;
		SELECT count(*) FROM wide;
		EXPLAIN (ANALYZE, COSTS OFF) SELECT count(*) FROM long WHERE md5(md5(md5(value))) > '';
	});
	my ($waited) = $plan =~ /Kafka Wait Time: ([\d.]+) ms/;

	$shortest = $waited if !defined $shortest || $waited < $shortest;
}
cmp_ok($shortest, '<', 600, 'a slow reader never waits for a broker that has more');
$mock->quit;

done_testing();
