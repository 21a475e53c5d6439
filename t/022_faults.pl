# t/022_faults.pl
#		What can go wrong under a scan: it is whole or it is an error, never a short result; and the
#		session goes on.
#
# A broker of this test's own is killed and started again, and topics are deleted, made again and cut
# under open cursors. A mock cluster answers late, and with errors of our choice. A socket that never
# answers stands for a broker behind a broken network.
use strict;
use warnings;

use IO::Socket::INET;
use KafkaFdw::Test;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# What an end may take on a machine that is busy with other things, beside the time it should.
my $slack = 60;

# More than a scan fetches ahead, so that it needs the broker again: 40 MB.
my $rows = 20000;

my $broker = KafkaFdw::Test->new_broker('faults');
my $node = KafkaFdw::Test->new_node('faults', $broker, server_options => "metadata_timeout '60s', message_timeout_ms '2min'");

# Long enough for what is to succeed, on a busy machine too.
KafkaFdw::Test->create_server($node, 'impatient', $broker, "metadata_timeout '5s'");

my $session = KafkaFdw::Test->session($node, set => { VERBOSITY => 'verbose' });

# A statement that must fail: its SQLSTATE, and all that it says.
sub failure
{
	my ($sql) = @_;

	$session->query($sql);
	my $error = $session->stderr;

	$error =~ /ERROR:  (\w{5}):/;
	return ($1 // 'none', $error);
}

sub fails
{
	my ($sql, $sqlstate, $text, $name) = @_;
	my ($state, $error) = failure($sql);

	is($state, $sqlstate, "$name: SQLSTATE");
	like($error, $text, "$name: what it says");
	return;
}

# A new topic with as many messages in each partition, and a foreign table on it by either server;
# the topic's name.
sub filled_topic
{
	my ($table, $partitions, $count) = @_;
	my $topic = KafkaFdw::Test->topic($table);

	$node->safe_psql('postgres', qq{
		SELECT kafka_create_topic('$topic', $partitions, server => 'kafka');
		CREATE FOREIGN TABLE $table (partition int, "offset" bigint, value text)
			SERVER kafka OPTIONS (topic '$topic');
		CREATE FOREIGN TABLE ${table}_impatient (partition int, "offset" bigint, value text)
			SERVER impatient OPTIONS (topic '$topic');
		INSERT INTO $table (partition, value)
			SELECT g % $partitions, repeat('x', 2000) FROM generate_series(0, $count * $partitions - 1) g});
	return $topic;
}

# Open a cursor on a table, read some rows, let something happen, and read the rest. Returns the rows
# as a reference to an array of "partition:offset", and what was said on standard error.
sub interrupted_scan
{
	my ($table, $happening) = @_;

	$session->query(qq{
		BEGIN;
		DECLARE c CURSOR FOR SELECT partition || ':' || "offset" FROM $table});
	my $output = $session->query('FETCH 10 FROM c');

	$happening->();
	$output .= "\n" . $session->query('FETCH ALL FROM c');
	my $error = $session->stderr;

	$session->query('ROLLBACK');
	return ([ grep { /^\d+:\d+$/ } split /\n/, $output ], $error);
}

sub distinct
{
	my ($list) = @_;
	my %seen = map { $_ => 1 } @$list;

	return scalar keys %seen;
}

#----------------------------------------------------------------------
# Brokers of the list that are down
#----------------------------------------------------------------------

# Whom librdkafka tries first is a matter of chance, so each look has new handles.
KafkaFdw::Test->create_server($node, 'scattered', '127.0.0.1:1,' . $broker->bootstrap . ',127.0.0.1:2', "metadata_timeout '60s'");
my $found = filled_topic('scattered', 2, 1);
my @answers;
foreach my $look (("SELECT count(high) FROM kafka_partitions('$found', 'scattered')") x 10,
	("SELECT count(*) FROM kafka_read('$found', server => 'scattered')") x 5)
{
	$session->query('SELECT kafka_disconnect()');
	push @answers, $session->query($look) . $session->stderr;
}
is("@answers", join(' ', (2) x 15), 'brokers that refuse the connection keep nobody from asking another one');

#----------------------------------------------------------------------
# The broker goes
#----------------------------------------------------------------------

my $big = filled_topic('big', 1, $rows);

foreach my $death ('kill', 'stop')
{
	my ($got, $error) = interrupted_scan('big', sub { $broker->$death; $broker->start });

	is($error, '', "$death and start during a scan: no error");
	is(scalar @$got, $rows, "$death and start during a scan: all rows");
	is(distinct($got), $rows, "$death and start during a scan: each once");
}

my $start;
my ($got, $error) = interrupted_scan('big_impatient', sub { $broker->kill; $start = time });
my $took = time - $start;

like($error, qr/ERROR:  08006: could not read topic "\Q$big\E" partition 0 (from|beyond) offset \d+/,
	'killed during a scan: an error, which names topic, partition and offset');
like($error, qr/DETAIL:  .*\S/, 'killed during a scan: the cause');
cmp_ok(scalar @$got, '<', $rows, 'killed during a scan: the rows before it');
cmp_ok($took, '>=', 1, 'killed during a scan: metadata_timeout is waited for');
cmp_ok($took, '<', $slack, 'killed during a scan: and no longer');

# While it is away: in a session that used it, and in one that did not.
fails('SELECT count(*) FROM big_impatient', '08001',
	qr/could not connect to Kafka server "impatient"/, 'away, a session that knew it');
$session->quit;
$session = KafkaFdw::Test->session($node, set => { VERBOSITY => 'verbose' });
$start = time;
fails('SELECT count(*) FROM big_impatient', '08001',
	qr/could not connect to Kafka server "impatient"/, 'away at first use');
like($session->stderr, qr/Connection refused|Connect to/i, 'away at first use: the cause');
like($session->stderr, qr/HINT:  .*bootstrap_servers/, 'away at first use: a hint');
cmp_ok(time - $start, '<', $slack, 'away at first use: metadata_timeout');
like((failure("SELECT kafka_create_topic('x', server => 'impatient')"))[0],
	qr/^08/, 'away, another call');

$broker->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM big'), $rows, 'the broker is back, and leads the partition again');
is($session->query('SELECT count(*) FROM big_impatient'), $rows,
	'the next statement works once the broker is back');

#----------------------------------------------------------------------
# The topic goes
#----------------------------------------------------------------------

fails("SELECT * FROM kafka_read('$big.no', server => 'impatient')", '42P01',
	qr/topic "\Q$big\E\.no" does not exist on Kafka server "impatient"\nHINT:  .*"\Q$big\E".*kafka_create_topic/,
	'an unknown topic');

sub delete_topic
{
	my ($topic) = @_;

	$node->safe_psql('postgres', "SELECT kafka_delete_topic('$topic', 'kafka')");
	KafkaFdw::Test->wait_until(
		sub {
			my (undef, undef, $stderr) = $node->psql('postgres',
				"SELECT count(*) FROM kafka_read('$topic', max_messages => 1, server => 'kafka')");
			return $stderr =~ /does not exist/;
		}) or die "topic $topic does not go";
	return;
}

my $deleted = filled_topic('deleted', 1, $rows);

($got, $error) = interrupted_scan('deleted_impatient', sub { delete_topic($deleted) });
like($error, qr/ERROR:  .*\Q$deleted\E/, 'a topic deleted during a scan is an error');
cmp_ok(scalar @$got, '<', $rows, 'a topic deleted during a scan: the rows before it');
fails('SELECT count(*) FROM deleted_impatient', '42P01', qr/does not exist/, 'a topic deleted');

my $remade = filled_topic('remade', 1, $rows);

($got, $error) = interrupted_scan('remade_impatient',
	sub {
		delete_topic($remade);
		KafkaFdw::Test->wait_until(
			sub {
				return $node->psql('postgres',
					"SELECT kafka_create_topic('$remade', 1, server => 'kafka')") == 0;
			}) or die 'the topic cannot be made again';
		$node->safe_psql('postgres', "SELECT kafka_send('$remade', 'new', server => 'kafka')");
	});
like($error, qr/ERROR:  .*\Q$remade\E/, 'a topic deleted and made again during a scan is an error');
is($session->query('SELECT value FROM remade_impatient'), 'new',
	'a topic made again can be read in the same session');

#----------------------------------------------------------------------
# Records go
#----------------------------------------------------------------------

my $cut = filled_topic('cut', 1, $rows);
my $before = $rows - 1000;

($got, $error) = interrupted_scan('cut',
	sub {
		$node->safe_psql('postgres',
			"SELECT kafka_delete_records('$cut', 0, $before, 'kafka')");
	});
is(scalar(() = $error =~ /WARNING/g), 1, 'records deleted during a scan: one warning');
unlike($error, qr/ERROR/, 'records deleted during a scan: no error');
my ($lost) = $error =~ /(\d+) offsets of topic "\Q$cut\E" were deleted while it was being read/;
cmp_ok($lost // 0, '>', 0, 'records deleted during a scan: they are counted');
is(@$got + ($lost // 0), $rows, 'records deleted during a scan: the count is right');
is(distinct($got), scalar @$got, 'records deleted during a scan: no row twice');
is(scalar(grep { /:(\d+)/ && $1 >= $before } @$got), $rows - $before,
	'records deleted during a scan: what is left is read');
is($session->query('SELECT min("offset"), count(*) FROM cut'), "$before|1000",
	'the next scan begins where the log does');
is($session->stderr, '', 'and has nothing to warn of');

# All of it, in one of two partitions.
my $emptied = filled_topic('emptied', 2, $rows / 2);

($got, $error) = interrupted_scan('emptied',
	sub {
		$node->safe_psql('postgres',
			"SELECT kafka_delete_records('$emptied', 1, $rows / 2, 'kafka')");
	});
($lost) = $error =~ /WARNING:  \w+: (\d+) offsets/;
is(@$got + ($lost // 0), $rows, 'a partition emptied during a scan: rows and lost offsets add up');
is(scalar(grep { /^0:/ } @$got), $rows / 2, 'a partition emptied during a scan: the other one is whole');

#----------------------------------------------------------------------
# Offsets that are not there
#----------------------------------------------------------------------

foreach my $case (
	[ q{"offset" >= 20000}, 0 ],
	[ q{"offset" >= 9223372036854775807}, 0 ],
	[ q{"offset" < 0}, 0 ],
	[ q{"offset" BETWEEN -5 AND 18999}, 0 ],		# before the first one that is left
	[ q{"offset" BETWEEN 18999 AND 19000}, 1 ],
	[ q{"offset" BETWEEN 19999 AND 9223372036854775807}, 1 ],
	[ q{partition = 1}, 0 ],
	[ q{partition = -1 OR "offset" IN (0, 19500, 30000)}, 1 ])
{
	is($session->query("SELECT count(*) FROM cut WHERE $case->[0]"), $case->[1], "WHERE $case->[0]");
}
foreach my $case ([ '20000', 'snapshot', 0 ], [ '9223372036854775806', 'snapshot', 0 ],
	[ '0', '9223372036854775806', 1000 ], [ '19990', '19980', 0 ], [ '-1000000', 'snapshot', 1000 ],
	[ '@3000-01-01 00:00:00Z', 'snapshot', 0 ])
{
	is($session->query(qq{
			SELECT count(*) FROM kafka_read('$cut', '$case->[0]', '$case->[1]', server => 'kafka')}),
		$case->[2], "kafka_read from $case->[0] to $case->[1]");
}

#----------------------------------------------------------------------
# Scans side by side, and what ends some of them
#----------------------------------------------------------------------

my $side = filled_topic('side', 2, 3000);

is($session->query(q{
		SELECT count(*), count(DISTINCT (a.partition, a."offset"))
		FROM side a JOIN side b USING (partition, "offset")}),
	'6000|6000', 'a self join');

# Three cursors on one topic, read in turns, each of them whole.
$session->query(qq{
	BEGIN;
	DECLARE c1 CURSOR FOR SELECT '1 ' || partition || ':' || "offset" FROM side;
	DECLARE c2 CURSOR FOR SELECT '2 ' || partition || ':' || "offset" FROM side;
	DECLARE c3 CURSOR FOR SELECT '3 ' || partition || ':' || "offset" FROM side WHERE partition = 1});
my $all = $session->query(join ";\n", ("FETCH 500 FROM c1; FETCH 700 FROM c2; FETCH 300 FROM c3") x 12);
my %by_cursor;

$by_cursor{ (split / /, $_)[0] }{$_}++ foreach split /\n/, $all;
is(join(' ', map { scalar keys %{ $by_cursor{$_} } } 1 .. 3), '6000 6000 3000',
	'three cursors, read in turns: each has all rows');
is(scalar(split /\n/, $all), 15000, 'three cursors, read in turns: each row once');
$session->query('COMMIT');

# Savepoints: a cursor opened before one goes on, one opened after it ends with it.
is($session->query(q{
		BEGIN;
		DECLARE outer_c CURSOR FOR SELECT count(*) OVER () FROM side;
		DECLARE plain CURSOR FOR SELECT "offset" FROM side WHERE partition = 0;
		FETCH 1 FROM plain;
		SAVEPOINT s;
		DECLARE inner_c CURSOR FOR SELECT value FROM side;
		MOVE 100 IN inner_c;
		ROLLBACK TO s;
		FETCH 1 FROM plain;
		FETCH 1 FROM outer_c}),
	"0\n1\n6000", 'ROLLBACK TO with open cursors');
is($session->stderr, '', 'ROLLBACK TO with open cursors: no error');
fails('FETCH 1 FROM inner_c', '34000', qr/cursor "inner_c" does not exist/, 'the inner cursor is gone');
$session->query('ROLLBACK');
is($session->query('SELECT count(*) FILTER (WHERE in_use) FROM kafka_connections'), '0',
	'nothing is held after a ROLLBACK');

# A held cursor is read to its end at COMMIT.
is($session->query(q{
		BEGIN;
		DECLARE held CURSOR WITH HOLD FOR SELECT "offset" FROM side WHERE partition = 0;
		FETCH 1 FROM held;
		COMMIT;
		MOVE 2998 IN held;
		FETCH ALL FROM held;
		CLOSE held}),
	"0\n2999", 'a cursor WITH HOLD');

# Exceptions that are caught, around scans and sends; then both work in the same transaction.
is($session->query(qq{
		CREATE FOREIGN TABLE nowhere (value text) SERVER impatient OPTIONS (topic '$side.nowhere');
		CREATE FUNCTION caught() RETURNS text LANGUAGE plpgsql AS \$\$
		DECLARE
			states text[] := '{}';
		BEGIN
			FOR i IN 1 .. 20 LOOP
				BEGIN
					IF i % 4 = 0 THEN
						PERFORM count(*) FROM nowhere;
					ELSIF i % 4 = 1 THEN
						PERFORM kafka_send('$side.nowhere', 'x', server => 'impatient');
					ELSIF i % 4 = 2 THEN
						INSERT INTO nowhere VALUES ('x'), ('y');
					ELSE
						PERFORM 1 / (3 - "offset") FROM side WHERE partition = 0;
					END IF;
				EXCEPTION WHEN OTHERS THEN
					states := states || SQLSTATE::text;
				END;
			END LOOP;
			RETURN array_to_string(ARRAY(SELECT u || ' ' || count(*) FROM unnest(states) u
				GROUP BY u ORDER BY u), ', ');
		END \$\$;
		BEGIN;
		SELECT caught();
		SELECT count(*) FROM side;
		SELECT kafka_send('$side', 'x', partition => 0, server => 'kafka');
		COMMIT}),
	"22012 5, 42P01 15\n6000\n3000", 'caught exceptions leave a transaction that works');
is($session->query('SELECT count(*) FILTER (WHERE in_use) FROM kafka_connections'), '0',
	'caught exceptions hold nothing');

#----------------------------------------------------------------------
# A mock cluster: long ways, and errors
#----------------------------------------------------------------------

my $mock = KafkaFdw::Test->tool('kmock', 1);

KafkaFdw::Test->create_server($node, 'mock', $mock->greeting, "metadata_timeout '60s'");
KafkaFdw::Test->create_server($node, 'mock_impatient', $mock->greeting, "metadata_timeout '5s'");
$mock->ok('topic m 3 1');
$node->safe_psql('postgres', qq{
	CREATE FOREIGN TABLE m (partition int, "offset" bigint, value text)
		SERVER mock OPTIONS (topic 'm');
	CREATE FOREIGN TABLE m_impatient (partition int, "offset" bigint, value text)
		SERVER mock_impatient OPTIONS (topic 'm')});
$mock->ok('rtt 1 300');
is($session->query('SELECT count(*) FROM m'), '0', 'round trips of 300 ms: an empty topic');
like($session->query("SELECT kafka_send('m', 'one', partition => 0, server => 'mock')"), qr/^\d+$/,
	'round trips of 300 ms: a send');
$session->query(q{INSERT INTO m (partition, value) SELECT g % 3, 'v' || g FROM generate_series(1, 300) g});
is($session->stderr, '', 'round trips of 300 ms: an INSERT');
is($session->query('SELECT count(*), count(DISTINCT value) FROM m'), '301|301',
	'round trips of 300 ms: a SELECT');
is($session->query('SELECT value FROM m WHERE partition = 0 AND "offset" = 0'), 'one',
	'round trips of 300 ms: a SELECT of one offset');
is($session->query("SELECT count(*) FROM kafka_last('m', 10, 'mock')"), '10',
	'round trips of 300 ms: kafka_last');
$mock->ok('rtt 1 0');

# The codes are Kafka's: API 1 is Fetch, 2 is ListOffsets, 3 is Metadata.
foreach my $case (
	[ 2, 6, 'ListOffsets: NOT_LEADER_OR_FOLLOWER' ],
	[ 2, 5, 'ListOffsets: LEADER_NOT_AVAILABLE' ],
	[ 2, 78, 'ListOffsets: OFFSET_NOT_AVAILABLE' ],
	[ 1, 1, 'Fetch: OFFSET_OUT_OF_RANGE' ],
	[ 1, 6, 'Fetch: NOT_LEADER_OR_FOLLOWER' ],
	[ 1, 9, 'Fetch: REPLICA_NOT_AVAILABLE' ],
	[ 1, 56, 'Fetch: KAFKA_STORAGE_ERROR' ])
{
	my ($api, $code, $name) = @$case;

	$mock->ok("error $api 3 $code");
	is($session->query('SELECT count(*), count(DISTINCT value) FROM m'), '301|301',
		"$name passes, and all rows come");
	is($session->stderr, '', "$name: nothing is said");
	$mock->ok("clear $api");
}

foreach my $case (
	[ 2, 29, '42501', qr/could not look up offsets of topic "m" partition \d/,
		'ListOffsets: TOPIC_AUTHORIZATION_FAILED' ],
	[ 2, 6, '08006', qr/could not look up offsets of topic "m" partition \d/,
		'ListOffsets: no leader for long' ],
	[ 1, 1, '55000', qr/topic "m" partition \d no longer reaches to offset 0/, 'Fetch: OFFSET_OUT_OF_RANGE again and again' ],
	[ 1, 29, '42501', qr/could not read topic "m" partition \d from offset \d+/,
		'Fetch: TOPIC_AUTHORIZATION_FAILED' ])
{
	my ($api, $code, $sqlstate, $text, $name) = @$case;

	$mock->ok("error $api 10000 $code");
	fails('SELECT count(*) FROM m_impatient', $sqlstate, $text, $name);
	$mock->ok("clear $api");
	is($session->query('SELECT count(*) FROM m_impatient'), '301', "$name: the next statement works");
}

$mock->ok('topic_error m 29');
fails('SELECT count(*) FROM m_impatient', '42501', qr/"m"/, 'Metadata: TOPIC_AUTHORIZATION_FAILED');
$mock->ok('topic_error m 5');
fails('SELECT count(*) FROM m_impatient', '08006', qr/"m"/, 'Metadata: LEADER_NOT_AVAILABLE for long');
$mock->ok('topic_error m 0');
is($session->query('SELECT count(*) FROM m_impatient'), '301', 'Metadata: the next statement works');

# A partition without a leader.
$mock->ok('leader m 1 -1');
fails('SELECT count(*) FROM m_impatient', '08006', qr/topic "m" partition 1\b/,
	'a partition without a leader is an error that names it');
$mock->ok('leader m 1 1');
is($session->query('SELECT count(*) FROM m_impatient'), '301', 'once it has a leader it is read');

#----------------------------------------------------------------------
# A broker that never answers
#----------------------------------------------------------------------

# Connections are taken by the kernel, and that is all.
my $silent = IO::Socket::INET->new(Listen => 100, LocalAddr => '127.0.0.1', Proto => 'tcp')
  or die "could not listen: $!";
my $port = $silent->sockport;

KafkaFdw::Test->create_server($node, 'silent', "127.0.0.1:$port",
	"metadata_timeout '2s', message_timeout_ms '2s'");
KafkaFdw::Test->create_server($node, 'patient', "127.0.0.1:$port", "metadata_timeout '10min'");
$node->safe_psql('postgres', q{
	CREATE FOREIGN TABLE silent_t (value text) SERVER silent;
	CREATE FOREIGN TABLE patient_t (value text) SERVER patient});
foreach my $statement ('SELECT * FROM silent_t',
	"SELECT kafka_send('silent_t', 'x', server => 'silent')",
	"SELECT * FROM kafka_read('silent_t', server => 'silent')",
	"SELECT kafka_create_topic('silent_t', server => 'silent')",
	"INSERT INTO silent_t VALUES ('x')",
	'IMPORT FOREIGN SCHEMA kafka FROM SERVER silent INTO public')
{
	$start = time;
	my ($state, $text) = failure($statement);

	like($state, qr/^08/, "a silent broker: SQLSTATE of $statement");
	$took = time - $start;
	cmp_ok($took, '>=', 1, "a silent broker: the timeout is waited for in $statement");
	cmp_ok($took, '<', $slack, "a silent broker: and no longer in $statement");
}
$session->clear;
$session->send('SELECT * FROM patient_t');
$session->wait_until_waiting;
$start = time;
$session->cancel;
$session->wait_for_error(qr/canceling statement due to user request/);
cmp_ok(time - $start, '<', $slack, 'a silent broker: a cancel is answered at once');
is($session->query('SELECT count(*) FROM side'), '6001', 'the session works with another server');
$session->quit;

unlike(slurp_file($node->logfile), qr/terminated by signal|exited with exit code [^01]/,
	'no backend crashed');

done_testing();
