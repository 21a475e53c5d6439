# t/029_multinode.pl
#		What a cluster goes through while it is used: leaders that are killed or moved under sends and
#		scans, and replicas that are away.
#
# What was acknowledged is in the topic, once; what an error calls not stored is not; a scan has every
# row once, or is an error. KAFKA_FDW_ROUNDS says how often the leader is killed at full speed (default 1).
use strict;
use warnings;

use KafkaFdw::Test;
use PostgreSQL::Test::Utils;
use POSIX qw(mkfifo);
use Test::More;

my $rounds = $ENV{KAFKA_FDW_ROUNDS} // 1;
my $cluster = KafkaFdw::Test->new_cluster('multi');
my $node = KafkaFdw::Test->new_node('multi', $cluster, server_options => "commit_timeout '60s', metadata_timeout '60s', message_timeout_ms '120s'");

KafkaFdw::Test->create_server($node, 'impatient', $cluster,
	"message_timeout_ms '5s', metadata_timeout '5s', commit_timeout '5s'");

# Sends of one session until a row is in "stop", with what each came to.
$node->safe_psql('postgres', q{
	CREATE TABLE stop ();
	CREATE TABLE witness (value text);
	CREATE FUNCTION send_until(topic text, prefix text, server name)
	RETURNS TABLE (value text, outcome text) LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN 1 .. 1000000 LOOP
			EXIT WHEN EXISTS (SELECT FROM stop);
			value := prefix || i;
			BEGIN
				PERFORM kafka_send(topic, value, partition => 0, server => server);
				outcome := 'stored';
			EXCEPTION WHEN OTHERS THEN
				outcome := SQLSTATE || ' ' || SQLERRM;
			END;
			RETURN NEXT;
		END LOOP;
	END $$});

my $session = KafkaFdw::Test->session($node, set => { VERBOSITY => 'verbose' });
my $gate = KafkaFdw::Test->session($node);

# A new topic with a foreign table on it by either server; the topic's name. Two of three replicas have
# to be in sync.
sub new_topic
{
	my ($table, $partitions, $where) = @_;
	my $topic = KafkaFdw::Test->topic($table);

	($where //= $node)->safe_psql('postgres', qq{
		SELECT kafka_create_topic('$topic', $partitions, 3, '{"min.insync.replicas": "2"}', 'kafka');
		CREATE FOREIGN TABLE $table (partition int, "offset" bigint, value text)
			SERVER kafka OPTIONS (topic '$topic');
		CREATE FOREIGN TABLE ${table}_impatient (partition int, "offset" bigint, value text)
			SERVER impatient OPTIONS (topic '$topic')});
	return $topic;
}

# The node that leads a topic's first partition.
sub leader
{
	my ($topic) = @_;

	return $node->safe_psql('postgres',
		"SELECT leader FROM kafka_partitions('$topic', 'kafka') WHERE partition = 0");
}

# Wait for a condition in SQL.
sub await
{
	my ($condition) = @_;

	$node->poll_query_until('postgres', "SELECT $condition") or die "it did not come to $condition";
	return;
}

sub scalar_of { my ($sql) = @_; return $node->safe_psql('postgres', "SELECT $sql"); }

# Where a topic ends, all of whose partitions have leaders, or get them.
sub ended
{
	my ($topic) = @_;
	my $end;

	KafkaFdw::Test->wait_until(
		sub {
			$end = scalar_of("CASE WHEN bool_and(high IS NOT NULL) THEN sum(high) END FROM kafka_partitions('$topic', 'kafka')");
			return $end ne '';
		}) or die "topic $topic has no leaders";
	return $end;
}

# Send until a message is stored, with a server that gives up soon.
sub sends_again
{
	my ($where, $value, $server) = @_;

	return KafkaFdw::Test->wait_until(
		sub { return $session->query("SELECT kafka_send('$where', '$value', partition => 0, server => '$server')") =~ /^\d+$/ });
}

# All replicas of a topic are in sync again.
sub await_sync
{
	my ($topic) = @_;

	await("bool_and(cardinality(isr) = 3 AND leader IS NOT NULL) FROM kafka_partitions('$topic', 'kafka')");
	return;
}

# Compare what send_until() printed with the topic.
sub check_outcomes
{
	my ($table, $prefix, $output, $name) = @_;
	my %found;
	my %count = (stored => 0, 'not' => 0, 'maybe' => 0);
	my @wrong;

	foreach my $line (split /\n/, $node->safe_psql('postgres',
			"SELECT value, count(*) FROM $table WHERE value LIKE '$prefix%' GROUP BY value"))
	{
		my ($value, $times) = split /\|/, $line;

		$found{$value} = $times;
	}
	foreach my $line (split /\n/, $output)
	{
		my ($value, $outcome) = split /\|/, $line, 2;
		my $times = delete $found{$value} // 0;
		my $said = $outcome eq 'stored' ? 'stored'
		  : $outcome =~ /the message is not stored/ ? 'not'
		  : $outcome =~ /the message may be stored/ ? 'maybe' : 'unclear';

		$count{$said}++;
		push @wrong, "$line: $times in the topic"
		  if $said eq 'unclear' || $times > 1 || ($said eq 'stored' && $times == 0) || ($said eq 'not' && $times > 0);
	}
	push @wrong, map { "$_: in the topic, but not sent" } sort keys %found;
	is(join("\n", @wrong), '', "$name: what was said is true ($count{stored} stored, $count{not} not, $count{maybe} perhaps)");
	return \%count;
}

my $topic = new_topic('log', 1);

#----------------------------------------------------------------------
# The leader is killed during sends
#----------------------------------------------------------------------

# One message after another. The topic has them again from the next leader; no send fails.
foreach my $round (1 .. $rounds)
{
	my $leader = leader($topic);

	$node->safe_psql('postgres', 'TRUNCATE stop');
	$session->clear;
	$session->send("SELECT * FROM send_until('$topic', 'single $round ', 'kafka')");
	await("count(*) > 20 FROM log WHERE value LIKE 'single $round %'");
	$cluster->kill($leader);
	my $before = ended($topic);
	await("leader <> $leader AND high > $before + 20 FROM kafka_partitions('$topic', 'kafka')");
	$node->safe_psql('postgres', 'INSERT INTO stop DEFAULT VALUES');
	my $count = check_outcomes('log', "single $round ", $session->finish, "kafka_send, round $round");

	is($count->{not} + $count->{maybe}, 0, "kafka_send, round $round: every message is acknowledged");
	is($session->stderr, '', "kafka_send, round $round: no error");
	$cluster->start($leader);
	await_sync($topic);
}

# A statement of many rows, the leader killed at full speed.
my $rows = 200_000;

foreach my $round (1 .. $rounds)
{
	my $leader = leader($topic);
	my $before = ended($topic);

	$session->clear;
	$session->send("INSERT INTO log (value) SELECT 'many $round ' || i FROM generate_series(1, $rows) i");
	KafkaFdw::Test->wait_until(sub { return ended($topic) > $before });
	$cluster->kill($leader);
	$session->finish;
	is($session->stderr, '', "INSERT, round $round: no error");
	is(scalar_of("count(*), count(DISTINCT value) FROM log WHERE value LIKE 'many $round %'"),
		"$rows|$rows", "INSERT, round $round: every row once");
	$cluster->start($leader);
	await_sync($topic);
}

# Frozen first, so that rows are under way when it dies; and COPY, whose second half comes then.
foreach my $case ('INSERT', 'COPY')
{
	my $leader = leader($topic);
	my $pipe = PostgreSQL::Test::Utils::tempdir_short() . '/pipe';
	my $writer;

	$session->clear;
	if ($case eq 'INSERT')
	{
		$gate->query('SELECT pg_advisory_lock(1)');
		$session->send(q{
			INSERT INTO log (value) SELECT 'INSERT ' || i FROM generate_series(1, 20000) i
				WHERE i <> 10000 OR pg_advisory_xact_lock(1) IS NOT NULL});
		await('wait_event = \'advisory\' FROM pg_stat_activity WHERE pid = ' . $session->pid);
	}
	else
	{
		mkfifo($pipe, 0666) or die "mkfifo: $!";
		chmod 0777, $pipe =~ s/\/pipe$//r;
		chmod 0666, $pipe;
		$session->send("COPY log (value) FROM '$pipe'");
		open($writer, '>', $pipe) or die "could not open $pipe: $!";
		print $writer "COPY $_\n" foreach 1 .. 9999;
		$writer->flush;
		await("count(*) > 1000 FROM log WHERE value LIKE 'COPY %'");
	}
	$cluster->pause($leader);
	if ($case eq 'INSERT')
	{
		$gate->query('SELECT pg_advisory_unlock(1)');
	}
	else
	{
		print $writer "COPY $_\n" foreach 10000 .. 20000;
		close $writer;
	}
	$session->wait_until_waiting;
	$cluster->kill($leader);
	$session->finish;
	is($session->stderr, '', "$case, frozen and killed: no error");
	is(scalar_of("count(*), count(DISTINCT value) FROM log WHERE value LIKE '$case %'"),
		'20000|20000', "$case, frozen and killed: every row once");
	is( scalar_of(qq{count(*) FROM (
			SELECT split_part(value, ' ', 2)::int < lag(split_part(value, ' ', 2)::int) OVER (ORDER BY "offset") AS back
			FROM log WHERE value LIKE '$case %') s WHERE back}),
		'0', "$case, frozen and killed: in their order");
	$cluster->start($leader);
	await_sync($topic);
}

# With little time the failure is an error, and what it says is true.
my $leader = leader($topic);
$node->safe_psql('postgres', 'TRUNCATE stop');
$session->send("SELECT * FROM send_until('$topic', 'impatient ', 'impatient')");
await(q{count(*) > 20 FROM log WHERE value LIKE 'impatient %'});
$cluster->pause($leader);
$cluster->kill($leader);
my $before = ended($topic);
await("leader <> $leader AND high > $before + 20 FROM kafka_partitions('$topic', 'kafka')");
$node->safe_psql('postgres', 'INSERT INTO stop DEFAULT VALUES');
check_outcomes('log', 'impatient ', $session->finish, 'kafka_send with little time');
$cluster->start($leader);
await_sync($topic);

# Messages that are held until the transaction commits.
$leader = leader($topic);
$session->query(qq{BEGIN; INSERT INTO witness VALUES ('held');
	SELECT count(kafka_send_on_commit('$topic', 'held ' || i, partition => 0, server => 'kafka')) FROM generate_series(1, 5000) i});
$cluster->pause($leader);
$session->send('COMMIT');
$session->wait_until_waiting;
$cluster->kill($leader);
$session->finish;
is($session->stderr, '', 'kafka_send_on_commit: no error');
is(scalar_of(q{count(*), count(DISTINCT value), (SELECT count(*) FROM witness) FROM log WHERE value LIKE 'held %'}),
	'5000|5000|1', 'kafka_send_on_commit: every message once, and the row');
$cluster->start($leader);
await_sync($topic);

$leader = leader($topic);
$session->query(qq{BEGIN; INSERT INTO witness VALUES ('held in vain');
	SELECT count(kafka_send_on_commit('$topic', 'vain ' || i, partition => 0, server => 'impatient')) FROM generate_series(1, 100) i});
$cluster->pause($_) foreach 1 .. 3;
$session->query('COMMIT');
my $error = $session->stderr;
$cluster->resume($_) foreach 1 .. 3;
await_sync($topic);
like($error, qr/ERROR:  08(001|006|007):.*the message (may be|is not) stored/, 'kafka_send_on_commit: an error where nobody answers');
is(scalar_of(q{count(*) FROM witness WHERE value = 'held in vain'}), 0, 'kafka_send_on_commit: no row without the message');
my ($unsure) = $error =~ /may be stored: (\d+)/;
cmp_ok(scalar_of(q{count(*) FROM log WHERE value LIKE 'vain %'}), '<=', $unsure // ($error =~ /may be stored/ ? 100 : 0),
	'kafka_send_on_commit: what is said not to be stored is not');

#----------------------------------------------------------------------
# The leader is killed, stopped or moved during a scan
#----------------------------------------------------------------------

my $scanned = 30_000;
my $big = new_topic('big', 3);
$node->safe_psql('postgres', qq{
	INSERT INTO big (partition, value) SELECT i % 3, lpad(i::text, 1000, '.') FROM generate_series(1, $scanned) i});

sub is_whole
{
	my ($rows, $said, $name) = @_;

	is($said, '', "$name: nothing is said");
	is(scalar keys %$rows, $scanned, "$name: no row is missing");
	is(scalar(grep { $_ > 1 } values %$rows), 0, "$name: no row comes twice");
	return;
}

sub elect_preferred
{
	KafkaFdw::Test->kafka_tool('org.apache.kafka.tools.LeaderElectionCommand',
		'--bootstrap-server', $cluster->bootstrap, '--election-type', 'preferred', '--all-topic-partitions');
	return;
}

my $query = q{SELECT partition || ':' || "offset" FROM big};
my ($got, $said) = $session->interrupted_scan($query, 10, sub {
	$leader = leader($big);
	$cluster->kill($leader);
});
is_whole($got, $said, 'killed during a scan');
$cluster->start($leader);
await_sync($big);
($got, $said) = $session->interrupted_scan($query, 10, sub {
	$leader = leader($big);
	$cluster->stop($leader);
	$session->query('MOVE 0 FROM c');
	$cluster->start($leader);
	await_sync($big);
});
is_whole($got, $said, 'stopped and started during a scan');
my $moved;
($got, $said) = $session->interrupted_scan($query, 10, sub {
	my $leaders = "string_agg(leader::text, ',' ORDER BY partition) FROM kafka_partitions('$big', 'kafka')";
	my $before = scalar_of($leaders);
	elect_preferred();
	KafkaFdw::Test->wait_until(sub { return ($moved = scalar_of($leaders)) ne $before });
	$moved = $moved ne $before;
});
ok($moved, 'leadership moved during a scan');
is_whole($got, $said, 'moved during a scan');

# And during sends.
$leader = leader($topic);
$node->safe_psql('postgres', 'TRUNCATE stop');
$session->send("SELECT * FROM send_until('$topic', 'moved ', 'kafka')");
await(q{count(*) > 20 FROM log WHERE value LIKE 'moved %'});
$cluster->stop($leader);
$cluster->start($leader);
await_sync($topic);
elect_preferred();
$before = ended($topic);
await("high > $before + 20 FROM kafka_partitions('$topic', 'kafka')");
$node->safe_psql('postgres', 'INSERT INTO stop DEFAULT VALUES');
my $count = check_outcomes('log', 'moved ', $session->finish, 'moved during sends');
is($count->{not} + $count->{maybe}, 0, 'moved during sends: every message is acknowledged');

#----------------------------------------------------------------------
# Two of three replicas away
#----------------------------------------------------------------------

# Errors of one message and of many, with two replicas away; what they say is compared with the topic
# once the replicas are back.
sub refused
{
	my ($where, $name, $pattern, $back) = @_;
	my ($state, $one, $many);

	($state, $one) = $session->failure("SELECT kafka_send('$where->{topic}', 'one $name', partition => 0, server => '$where->{server}')");
	like($one, $pattern, "$name: a message is refused");
	note($one);
	($state, $many) = $session->failure("INSERT INTO $where->{table} (partition, value) SELECT 0, 'many $name' FROM generate_series(1, 100)");
	like($many, $pattern, "$name: an INSERT is refused");
	like($many, qr/Rows sent: 100; stored: 0, may be stored: \d+, not stored: \d+/, "$name: the rows are counted");
	note($many);
	$session->query("BEGIN; INSERT INTO witness VALUES ('$name'); SELECT kafka_send_on_commit('$where->{topic}', 'held $name', partition => 0, server => '$where->{server}')");
	my ($committed, $held) = $session->failure('COMMIT');
	like($held, $pattern, "$name: a commit is refused");
	is(scalar_of("count(*) FROM witness WHERE value = '$name'"), '0', "$name: and its row is not there");
	$back->();
	foreach my $case ([ "one $name", $one, 1 ], [ "many $name", $many, 100 ], [ "held $name", $held, 1 ])
	{
		my ($value, $error, $sent) = @$case;
		my $most = $error =~ /may be stored: (\d+)/ ? $1 : $error =~ /the message may be stored/ ? $sent : 0;

		cmp_ok(scalar_of("count(*) FROM $where->{table} WHERE value = '$value'"), '<=', $most,
			"$name: what \"$value\" is said to be is true (at most $most)");
	}
	ok(sends_again($where->{topic}, "after $name", $where->{server}), "$name: the session sends again");
	return;
}

# With two of three nodes gone the cluster has no majority that could note who is in sync: the leader
# waits for the others in vain.
$leader = leader($topic);
my @others = grep { $_ != $leader } 1 .. 3;
sends_again($topic, 'warm', 'impatient') or die 'nothing can be sent';
$cluster->kill($_) foreach @others;
refused({ topic => $topic, table => 'log_impatient', server => 'impatient' }, 'two nodes of three gone',
	qr/ERROR:  (08007|08006|08001|53000): could not send to topic "\Q$topic\E": the message (may be|is not) stored/,
	sub { $cluster->start($_) foreach @others; await_sync($topic); });

$cluster->clean;

# With five nodes it has one: the leader is alone in sync, and refuses.
my $five = KafkaFdw::Test->new_cluster('five', nodes => 5, heap => '192m');
KafkaFdw::Test->create_server($node, 'five', $five, "message_timeout_ms '5s', metadata_timeout '60s', commit_timeout '5s'");
KafkaFdw::Test->create_server($node, 'patient', $five, "message_timeout_ms '2min', metadata_timeout '60s'");
my $strict = KafkaFdw::Test->topic('strict');
$node->safe_psql('postgres', qq{
	SELECT kafka_create_topic('$strict', 1, 3, '{"min.insync.replicas": "2"}', 'five');
	CREATE FOREIGN TABLE strict ("offset" bigint, partition int, value text) SERVER five OPTIONS (topic '$strict')});
sends_again($strict, 'warm', 'five') or die 'nothing can be sent';
@others = split /,/, scalar_of("array_to_string(array_remove(replicas, leader), ',') FROM kafka_partitions('$strict', 'five')");
is(scalar @others, 2, 'two followers');
$five->kill($others[0]);
like($session->query("SELECT kafka_send('$strict', 'one away', server => 'patient')"), qr/^\d+$/, 'one replica away: a message is stored');
is($session->stderr, '', 'one replica away: no error');
$five->kill($others[1]);
await("cardinality(isr) = 1 AND leader IS NOT NULL FROM kafka_partitions('$strict', 'five')");
# Whom we have asked may know it before the leader does, who may store a message until then.
KafkaFdw::Test->wait_until(
	sub { return ($session->failure("SELECT kafka_send('$strict', 'probe', server => 'five')"))[1] =~ /is not stored.*\(1 of 3 replicas are in sync\)/s })
  or die 'the leader does not notice that it is alone';
refused({ topic => $strict, table => 'strict', server => 'five' }, 'two replicas away',
	qr/ERROR:  53000: could not send to topic "\Q$strict\E": the message is not stored\nDETAIL:  .*\(1 of 3 replicas are in sync\)/,
	sub {
		$five->start($_) foreach @others;
		await("cardinality(isr) = 3 FROM kafka_partitions('$strict', 'five')");
	});
is(scalar_of(q{count(*) FROM strict WHERE value = 'one away'}), 1, 'one replica away: it is there, once');
is(scalar_of(q{count(*) FROM strict WHERE value ~ '^(one|many|held) two replicas away'}), 0, 'two replicas away: nothing was stored');

# The moment they go the leader does not know yet: it stores, and waits.
$five->kill($_) foreach @others;
refused({ topic => $strict, table => 'strict', server => 'five' }, 'just gone',
	qr/ERROR:  (08007|08006|53000): could not send to topic "\Q$strict\E": the message (may be|is not) stored/,
	sub {
		$five->start($_) foreach @others;
		await("cardinality(isr) = 3 FROM kafka_partitions('$strict', 'five')");
	});

my $pid = $session->pid;
$session->quit;
ok(KafkaFdw::Test->process_gone($pid), 'the session ends');
$gate->quit;
unlike(slurp_file($node->logfile), qr/terminated by signal|exited with exit code [^01]/,
	'no backend crashed');

done_testing();
