# 086_subscription_cluster.pl
#		A subscription while the cluster loses leaders: killed, frozen, stopped in order, moved. It goes
#		on by itself, and every message is in the table once.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;
use Time::HiRes qw(time);

my $cluster = KafkaFdw::Test->new_cluster('sub');
my $node = KafkaFdw::Test->new_node('sub', $cluster,
	# Whoever waits for the answer of a leader that is frozen waits longer than this test.
	server_options => "socket_timeout_ms '5min'",
	conf => "shared_preload_libraries = 'kafka_fdw'\nmax_worker_processes = 16");
my $topic = KafkaFdw::Test->topic('in');
# Who sends, and looks, gives up soon and tries again.
KafkaFdw::Test->create_server($node, 'impatient', $cluster,
	"metadata_timeout '3s', message_timeout_ms '3s', socket_timeout_ms '3s'");
my $npartitions = 3;

# To look at the topic may fail while it has no leader, or a broker is frozen: then again.
sub scalar_of
{
	my ($sql) = @_;
	my $result;

	KafkaFdw::Test->wait_until(sub { return $node->psql('postgres', "SELECT $sql", stdout => \$result) == 0; })
	  or die "no answer: $sql";
	return $result;
}

sub await
{
	my ($condition, $what) = @_;

	$node->poll_query_until('postgres', "SELECT $condition")
	  or die "$what: " . $node->safe_psql('postgres', 'SELECT * FROM kafka_subscriptions');
	return;
}

$node->safe_psql('postgres', qq{
	SELECT kafka_create_topic('$topic', $npartitions, 3, '{"min.insync.replicas": "2"}', 'kafka');
	CREATE FOREIGN TABLE t_in (partition int, "offset" bigint, value text)
		SERVER kafka OPTIONS (topic '$topic');
	CREATE FOREIGN TABLE t_out (partition int, value text) SERVER impatient OPTIONS (topic '$topic');
	CREATE TABLE plain (partition int, "offset" bigint, value text);
	CREATE TABLE counts (part int PRIMARY KEY, n bigint);
	SELECT kafka_subscribe('plain', 't_in', 'plain');
	SELECT kafka_subscribe('counts', 't_in', command => 'INSERT INTO counts
		SELECT partition, count(*) FROM t_in GROUP BY 1 ON CONFLICT (part) DO UPDATE SET n = counts.n + excluded.n')});

# A producer that goes on whatever happens: what is in the topic is the truth.
my $sender = KafkaFdw::Test->session($node);
$sender->send(qq{DO \$\$
	BEGIN
		FOR i IN 1 .. 1000000 LOOP
			BEGIN
				INSERT INTO t_out (partition, value) SELECT n % $npartitions, i || '.' || n FROM generate_series(1, 99) n;
			EXCEPTION WHEN connection_exception OR insufficient_resources THEN
				NULL;
			END;
			PERFORM pg_sleep(0.01);
		END LOOP;
	END \$\$});

# Each partition of each subscription has been taken beyond where the topic ends now.
sub goes_on
{
	my ($what) = @_;
	my $ends;

	KafkaFdw::Test->wait_until(sub {
		$ends = scalar_of("string_agg(partition || '|' || high, E'\\n') FROM kafka_partitions('$topic', 'impatient') HAVING count(high) = $npartitions");
		return $ends ne '';
	}) or die "$what: a partition has no leader";
	my $begin = time;
	foreach my $line (split /\n/, $ends)
	{
		my ($partition, $high) = split /\|/, $line;

		await("count(*) = 2 FROM kafka_subscription_offset WHERE partition = $partition AND next_offset > $high", $what);
	}
	pass(sprintf '%s: the subscriptions go on', $what);
	note sprintf '%s: after %.1f s', $what, time - $begin;
	return;
}

sub leader { return scalar_of("leader FROM kafka_partitions('$topic', 'impatient') WHERE partition = 0"); }

# The first partition has another leader than before.
sub has_moved
{
	my ($from) = @_;

	await("leader <> $from FROM kafka_partitions('$topic', 'impatient') WHERE partition = 0", 'a new leader');
	return;
}

sub in_sync
{
	await("bool_and(cardinality(isr) = 3 AND leader IS NOT NULL) FROM kafka_partitions('$topic', 'impatient')", 'in sync');
	return;
}

goes_on('at first');
foreach my $how (qw(kill pause stop))
{
	my $leader = leader();

	$cluster->$how($leader);
	has_moved($leader);
	goes_on("$how");
	$how eq 'pause' ? $cluster->resume($leader) : $cluster->start($leader);
	in_sync();
	goes_on("$how, and back again");
}

# Leaders go back to where they belong, with every node up. (A node that is too busy to say that it is alive has
# lost some of its own meanwhile, and so it may be another number of them that moves.)
KafkaFdw::Test->kafka_tool('org.apache.kafka.tools.LeaderElectionCommand',
	'--bootstrap-server', $cluster->bootstrap, '--election-type', 'preferred', '--all-topic-partitions');
await("bool_and(leader = replicas[1]) FROM kafka_partitions('$topic', 'impatient')", 'preferred leaders');
goes_on('moved');

# Two of three frozen: there is nobody to store a message. Then they are back.
my $leader_of = leader();
$cluster->pause($_) foreach grep { $_ != $leader_of } 1 .. 3;
await("count(*) = 0 FROM kafka_subscriptions WHERE state NOT IN ('running', 'retrying')", 'running or trying');
$cluster->resume($_) foreach grep { $_ != $leader_of } 1 .. 3;
in_sync();
goes_on('two of three frozen, and back again');

await('count(*) > 1000 FROM plain', 'messages are sent');
$sender->cancel;
$sender->quit;

# The topic against the tables, both as they are now: what was cancelled may still come in.
ok($node->poll_query_until('postgres', 'SELECT (count(*), count(DISTINCT (partition, "offset"))) = (SELECT count(*), count(*) FROM t_in) FROM plain'),
	'every message once')
  or diag $node->safe_psql('postgres', 'SELECT count(*) FROM t_in; SELECT * FROM kafka_subscriptions');
is(scalar_of('count(*) FROM (SELECT partition, "offset", value FROM plain EXCEPT SELECT partition, "offset", value FROM t_in) d'),
	0, 'with its value');
ok($node->poll_query_until('postgres', 'SELECT sum(n) = (SELECT count(*) FROM t_in) FROM counts'), 'the command has counted each of them once');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM kafka_subscriptions WHERE state = 'running' AND lag = 0}),
	'the subscriptions run, and nothing is left');
done_testing();
