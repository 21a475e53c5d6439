# t/053_insert_select.pl
#		INSERT ... SELECT from a topic into itself: it streams, ends, sends each message once, and
#		memory does not grow with the topic. What it sees is for sql/insert_select.sql.
use strict;
use warnings;

use KafkaFdw::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $rows = 200_000;

# What the backend may take in all, in kB: the rows have 200 MB, and at the end there are 400 MB.
my $most = 120 * 1024;

my $node = KafkaFdw::Test->new_node('insert_select');
my %topic = map { $_ => KafkaFdw::Test->topic($_) } qw(one half rest);

$node->safe_psql('postgres', qq{
	SELECT kafka_create_topic('$topic{one}', 2), kafka_create_topic('$topic{half}', 1),
		kafka_create_topic('$topic{rest}', 1);
	CREATE FOREIGN TABLE one (partition int, "offset" bigint, key text, value text)
		SERVER kafka OPTIONS (topic '$topic{one}');
	CREATE TABLE parted (key text, value text) PARTITION BY RANGE (key);
	CREATE FOREIGN TABLE half PARTITION OF parted FOR VALUES FROM (MINVALUE) TO ('5')
		SERVER kafka OPTIONS (topic '$topic{half}');
	CREATE FOREIGN TABLE rest PARTITION OF parted DEFAULT SERVER kafka OPTIONS (topic '$topic{rest}');
	INSERT INTO one (key, value) SELECT g, repeat('x', 1000) || g FROM generate_series(1, $rows) g});

# The most memory that a process has had, in kB.
sub peak
{
	my ($pid) = @_;
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+)/m;

	return $kb;
}

# Run a statement after which the table has so many rows, each value several times.
sub copies
{
	my ($name, $statement, $table, $count, $distinct) = @_;
	my $session = KafkaFdw::Test->session($node);

	$session->query($statement);
	is($session->stderr, '', "$name: it ends");
	my $peak = peak($session->pid);

	note "$name: $peak kB";
	cmp_ok($peak, '<', $most, "$name: memory");
	is($node->safe_psql('postgres', "SELECT count(*), count(DISTINCT value) FROM $table"),
		"$count|$distinct", "$name: rows");
	$session->quit;
	return;
}

copies('into itself', 'INSERT INTO one (key, value) SELECT key, value FROM one', 'one', 2 * $rows, $rows);
copies('into partitions', 'INSERT INTO parted SELECT key, value FROM one WHERE "offset" < 10000', 'parted',
	20_000, 20_000);
copies('partitions into themselves', 'INSERT INTO parted SELECT reverse(key), value FROM parted', 'parted',
	40_000, 20_000);

$node->safe_psql('postgres', "SELECT kafka_delete_topic('$_')") foreach values %topic;
$node->stop;
done_testing();
