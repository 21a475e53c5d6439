# A cluster of three nodes: topics whose partitions have their leaders on different nodes, and nodes
# that go away and come back while they are read and written to.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;

my $cluster = KafkaFdw::Test->new_cluster('three');
my $node = KafkaFdw::Test->new_node('cluster', $cluster);
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
}

done_testing();
