# t/029_remade.pl
#		Topics that change under a session, on three nodes: partitions are added, and topics deleted and
#		made again, between two statements and during one. Rows of two topics of one name are never one
#		result.
use strict;
use warnings;

use KafkaFdw::Test;
use PostgreSQL::Test::Utils;
use Test::More;

# Another librdkafka, where one is named: later ones take notice of topics that are made again.
$ENV{LD_LIBRARY_PATH} = $ENV{KAFKA_FDW_LIBRDKAFKA} if $ENV{KAFKA_FDW_LIBRDKAFKA};

my $cluster = KafkaFdw::Test->new_cluster('remade');
my $node = KafkaFdw::Test->new_node('remade', $cluster, server_options => "metadata_timeout '60s', message_timeout_ms '2min'");
my $session = KafkaFdw::Test->session($node, set => { VERBOSITY => 'verbose' });

# How many messages the topic has that is made again during scans.
my $scanned = 30_000;

# A new topic with a foreign table on it; the topic's name.
sub new_topic
{
	my ($table, $partitions) = @_;
	my $topic = KafkaFdw::Test->topic($table);

	$node->safe_psql('postgres', qq{
		SELECT kafka_create_topic('$topic', $partitions, 3);
		CREATE FOREIGN TABLE $table (partition int, "offset" bigint, value text)
			SERVER kafka OPTIONS (topic '$topic')});
	return $topic;
}

#----------------------------------------------------------------------
# Partitions and topics that change under a session
#----------------------------------------------------------------------

my $grown = new_topic('grown', 1);
$session->query(q{INSERT INTO grown (value) VALUES ('old')});
is($session->query('SELECT count(*) FROM grown'), '1', 'one partition');
foreach my $partitions (2, 3)
{
	my $new = $partitions - 1;

	$node->safe_psql('postgres', "SELECT kafka_add_partitions('$grown', $partitions, 'kafka')");
	is($session->query("SELECT kafka_send('$grown', 'new', partition => $new, server => 'kafka')"), '0',
		"partition $new is sent to by the next statement") if $partitions == 2;
	is($session->query("INSERT INTO grown (partition, value) VALUES ($new, 'new') RETURNING \"offset\""), $partitions == 2 ? 1 : 0,
		"partition $new is inserted into");
	is($session->stderr, '', 'and no error');
	$node->safe_psql('postgres', "SELECT kafka_send('$grown', 'more', partition => $new, server => 'kafka')");
	is($session->query("SELECT count(*) FROM grown WHERE partition = $new"), 4 - $partitions + 1, "partition $new is read");
}
$node->safe_psql('postgres', "SELECT kafka_add_partitions('$grown', 4, 'kafka'); INSERT INTO grown (partition, value) VALUES (3, 'newest')");
is($session->query('SELECT count(*) FROM grown WHERE value = \'newest\''), '1', 'a new partition is read by the next statement');

# Delete a topic, and make it again with so many messages in each partition.
sub remake
{
	my ($name, $partitions, $messages, $value) = @_;

	$node->safe_psql('postgres', "SELECT kafka_delete_topic('$name', 'kafka')");
	KafkaFdw::Test->wait_until(
		sub {
			return $node->psql('postgres', qq{SELECT kafka_create_topic('$name', $partitions, 3)}) == 0;
		}) or die 'the topic cannot be made again';
	$node->safe_psql('postgres', qq{
		CREATE FOREIGN TABLE remade (partition int, value text) SERVER kafka OPTIONS (topic '$name');
		INSERT INTO remade SELECT i % $partitions, '$value' FROM generate_series(0, $messages * $partitions - 1) i;
		DROP FOREIGN TABLE remade}) if $messages > 0;
	return;
}

# Between two statements of a session which reads and sends, and knows the topic from all sides.
my $again = new_topic('again', 2);
my $before = 2;
foreach my $round (1 .. 6)
{
	my $partitions = 1 + $round % 3;
	my $messages = 50 * ($round % 4) + 5;
	my $all = $partitions * $messages;

	remake($again, $partitions, $messages, "life $round");
	if ($round % 2)
	{
		is($session->query(qq{SELECT value FROM again WHERE partition = 0 AND "offset" = 3}), "life $round", "made again $round: one message");
		is($session->query("SELECT kafka_send('$again', 'sent $round', partition => 0, server => 'kafka')"), $messages, "made again $round: a send");
	}
	else
	{
		is($session->query("SELECT kafka_send('$again', 'sent $round', partition => 0, server => 'kafka')"), $messages, "made again $round: a send");
		is($session->query(qq{SELECT value FROM again WHERE partition = 0 AND "offset" = 3}), "life $round", "made again $round: one message");
	}
	is($session->stderr, '', "made again $round: no error");
	is($session->query('SELECT count(*), count(DISTINCT value) FROM again'), $all + 1 . '|2', "made again $round: all rows");

	# A producer learns that a topic has fewer partitions from a row that finds none.
	$session->query("INSERT INTO again (value) SELECT 'inserted $round' FROM generate_series(1, 100)");
	my $said = $session->stderr;
	my $stored = 100;

	if ($partitions < $before)
	{
		like($said, qr/^$|There is no partition \d+: the topic has partitions 0 to \d+\. Rows sent: 100; stored: \d+, may be stored: 0, not stored: \d+/,
			"made again $round with fewer partitions: nothing, or a clear error");
		$stored = $1 if $said =~ /; stored: (\d+)/;
		is($session->query("INSERT INTO again (value) SELECT 'inserted $round' FROM generate_series(1, 100)"), '', "made again $round: the next INSERT");
		is($session->stderr, '', "made again $round: no error of the INSERT");
		$stored += 100;
	}
	else
	{
		is($said, '', "made again $round: an INSERT without error");
	}
	is($session->query('SELECT count(*), count(DISTINCT value) FROM again'), $all + 1 + $stored . '|3', "made again $round: all of its rows");
	$before = $partitions;
}

my ($got, $said);
my $big = new_topic('big', 3);
remake($big, 3, $scanned / 3, 'old');

# During a scan: whatever the new one holds, rows of both are never a result.
foreach my $case ([ 'fewer messages', 3, 10 ], [ 'as many', 3, $scanned / 3 ], [ 'more', 3, $scanned / 3 + 1000 ],
	[ 'fewer partitions', 1, $scanned / 3 ], [ 'more partitions', 4, $scanned / 3 ], [ 'none', 3, 0 ])
{
	my ($name, $partitions, $messages) = @$case;

	($got, $said) = $session->interrupted_scan(q{SELECT partition || ':' || "offset" || ':' || right(value, 3) FROM big}, 10,
		sub { remake($big, $partitions, $messages, 'new') });
	my $new = grep { /:new$/ } keys %$got;
	my $old = keys(%$got) - $new;
	if ($said =~ /ERROR/)
	{
		like($said, qr/ERROR:  \w{5}: .*\Q$big\E/, "made again during a scan, $name: an error that names the topic");
		note($said);
	}
	else
	{
		is($new, 0, "made again during a scan, $name: no row of the new topic ($old old ones)");
		is($old, $scanned, "made again during a scan, $name: all rows of the old one");
	}
	is($session->query('SELECT count(*) FROM big'), $partitions * $messages, "made again during a scan, $name: the next statement has the new one");
	remake($big, 3, $scanned / 3, 'old');
}

# Between two scans of one statement: the second one begins when the first is at its end.
($got, $said) = $session->interrupted_scan(q{
		SELECT value || partition || "offset" FROM big WHERE partition = 0
		UNION ALL SELECT value || partition || "offset" FROM big WHERE partition = 1},
	$scanned / 3, sub { remake($big, 3, $scanned / 3, 'new') });
like($said, qr/ERROR:  55000: topic "\Q$big\E" partition 0 no longer has the message that was read at offset \d+/,
	'made again between two scans of a statement: an error');
is(scalar(grep { /^new/ } keys %$got), 0, 'and no row of the new one');

# Backwards.
remake($big, 3, $scanned / 3, 'old');
($got, $said) = $session->interrupted_scan(q{SELECT value FROM big WHERE partition = 0 ORDER BY "offset" DESC},
	10, sub { remake($big, 3, $scanned / 3, 'new') });
like($said, qr/ERROR:  55000: topic "\Q$big\E"/, 'made again during a scan backwards: an error');
is($got->{new}, undef, 'and no row of the new one');

# Under a tail, which is told while it waits.
my $tail = KafkaFdw::Test->session($node, fetch_count => 1);

remake($big, 1, 10, 'old');
$node->safe_psql('postgres', qq{
	CREATE FOREIGN TABLE big_tail (value text) SERVER kafka
		OPTIONS (topic '$big', start_offset 'earliest', wait_timeout '-1')});
$tail->send('SELECT value FROM big_tail');
KafkaFdw::Test->wait_until(sub { return 10 == (() = $tail->stdout =~ /^old$/mg) }) or die 'the tail has no rows';
$tail->wait_until_waiting;
remake($big, 1, 1000, 'new');
my $sent = 0;
ok( KafkaFdw::Test->wait_until(
		sub {
			$node->safe_psql('postgres', "SELECT kafka_send('$big', 'new', server => 'kafka')") if $sent++ < 1000;
			return $tail->stderr =~ /ERROR/;
		}),
	'made again under a tail: an error');
like($tail->stderr, qr/ERROR:  .*\Q$big\E/, 'which names the topic');
note($tail->stderr);
note(scalar(() = $tail->stdout =~ /^new$/mg) . ' rows of the new topic came before');
is($tail->query('SELECT 1'), 1, 'the session goes on');
$tail->quit;

my $pid = $session->pid;
$session->quit;
ok(KafkaFdw::Test->process_gone($pid), 'the session ends');
unlike(slurp_file($node->logfile), qr/terminated by signal|exited with exit code [^01]/,
	'no backend crashed');

done_testing();
