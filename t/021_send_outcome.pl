# t/021_send_outcome.pl
#		What an error says of a message is true: stored, not stored, or may be stored.
#
# A broker that is frozen, killed and started again, and one (a mock) that answers with errors of our
# choice. After each failure the session goes on, and the topic holds what was said.
use strict;
use warnings;

use KafkaFdw::Test;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# "At once", on a machine that is busy with other things. What is interrupted would else take half a minute.
my $at_once = 20;

# The C library gives threads heaps of their own, which come and go as chance has it; see 023_leaks.pl.
$ENV{MALLOC_ARENA_MAX} = 1;

my $broker = KafkaFdw::Test->new_broker('outcome');
my $node = KafkaFdw::Test->new_node('outcome', $broker, server_options => "metadata_timeout '60s'");
my $topic = KafkaFdw::Test->topic('outcome');

# Long enough for a message to be under way when its time is over, on a busy machine too.
KafkaFdw::Test->create_server($node, 'impatient', $broker,
	"message_timeout_ms '5s', metadata_timeout '5s'");
KafkaFdw::Test->create_server($node, 'patient', $broker, "message_timeout_ms '5min', metadata_timeout '5min'");
$node->safe_psql('postgres', qq{
	SELECT kafka_create_topic('$topic', 1, server => 'kafka');
	CREATE FOREIGN TABLE t ("offset" bigint, value text) SERVER kafka OPTIONS (topic '$topic');
	CREATE FOREIGN TABLE impatient_t (value text) SERVER impatient OPTIONS (topic '$topic');
	CREATE FOREIGN TABLE patient_t (value text) SERVER patient OPTIONS (topic '$topic')});

my $session = KafkaFdw::Test->session($node, set => { VERBOSITY => 'verbose' });

# How often a value is in the topic.
sub count
{
	my ($where) = @_;

	return $node->safe_psql('postgres', "SELECT count(*) FROM t WHERE $where");
}

# A statement that must fail: its SQLSTATE, and all that it says.
sub failure
{
	my ($sql) = @_;

	$session->query($sql);
	my $error = $session->stderr;

	$error =~ /ERROR:  (\w{5}):/;
	return ($1 // 'none', $error);
}

# Send until a message is stored, with a server that gives up soon: a broker that has just come back may
# take longer than that to be ready. Then there is a producer that is connected, and knows the topic.
sub sends_again
{
	my ($where, $server) = @_;

	return KafkaFdw::Test->wait_until(
		sub { return $session->query("SELECT kafka_send('$where', 'after', server => '$server')") =~ /^\d+$/ });
}

# Check the outcomes that a statement of several rows gives against the topic.
sub check_rows
{
	my ($error, $where, $name) = @_;

	like($error, qr/ows sent: \d+; stored: \d+, may be stored: \d+, not stored: \d+/,
		"$name: the rows' outcomes are said");
	$error =~ /ows sent: (\d+); stored: (\d+), may be stored: (\d+), not stored: (\d+)/
	  or return;
	my ($sent, $stored, $unsure, $unstored) = ($1, $2, $3, $4);
	my $found = count($where);

	is($stored + $unsure + $unstored, $sent, "$name: the outcomes add up ($sent rows)");
	cmp_ok($found, '>=', $stored, "$name: what is said to be stored is ($stored)");
	cmp_ok($found, '<=', $stored + $unsure, "$name: what is said not to be stored is not ($unstored)");
	return;
}

#----------------------------------------------------------------------
# A frozen broker
#----------------------------------------------------------------------

my ($state, $error, $start, $elapsed);

is($session->query("SELECT kafka_send('$topic', 'first', server => 'kafka')"), '0', 'the first message');
$broker->pause;
my $unread = $broker->unread;

# Nearly ten kilobytes that cannot be compressed to less than half of that.
$session->send(qq{SELECT kafka_send('$topic', 'under way ' || string_agg(md5(i::text), ''), server => 'kafka')
	FROM generate_series(1, 300) i});
KafkaFdw::Test->wait_until(sub { return $broker->unread > $unread + 4000 }) or die 'the message is not under way';
$start = time;
$session->cancel;
$session->finish;
$elapsed = time - $start;
$error = $session->stderr;
like($error, qr/ERROR:  57014: canceling statement due to user request/, 'frozen: the cancel keeps its SQLSTATE');
like($error, qr/CONTEXT:  sending to topic "\Q$topic\E": the message may be stored/,
	'frozen: a message that is under way may be stored');
cmp_ok($elapsed, '<', $at_once, sprintf 'frozen: the cancel is answered at once (after %.0f ms)',
	$elapsed * 1000);
# The producer with the unanswered request is not used again: this one cannot even connect.
$session->query("SET statement_timeout = '300ms'");
($state, $error) = failure("SELECT kafka_send('$topic', 'never sent', server => 'kafka')");
is($state, '57014', 'frozen: the next message times out: that has its SQLSTATE, too');
like($error, qr/the message is not stored/, 'frozen: a message that was not sent is not stored');
$broker->resume;
$session->query('RESET statement_timeout');
like($session->query("SELECT kafka_send('$topic', 'after', server => 'kafka')"), qr/^\d+$/,
	'resumed: the session sends again');
cmp_ok(count("value LIKE 'under way%'"), '<=', 1, 'resumed: what may be stored is there once at most');
is(count("value = 'never sent'"), '0', 'resumed: what was not stored did not come later');

# An INSERT that is cancelled with part of its rows under way.
$broker->pause;
$session->send("INSERT INTO t (value) SELECT 'insert ' || i FROM generate_series(1, 200000) i");
$session->wait_until_waiting;
$start = time;
$session->cancel;
$session->finish;
cmp_ok(time - $start, '<', $at_once, 'INSERT: a cancel is answered at once');
$error = $session->stderr;
like($error, qr/ERROR:  57014: canceling statement due to user request/, 'INSERT: it is cancelled');
$broker->resume;
like($session->query("SELECT kafka_send('$topic', 'after', server => 'kafka')"), qr/^\d+$/,
	'INSERT: the session sends again');
check_rows($error, "value LIKE 'insert %'", 'INSERT');
is($session->query('SELECT count(*) FROM kafka_connections WHERE in_use'), '0',
	'INSERT: no producer is left behind');

# The same where message_timeout_ms ends it: nobody knows, which has an SQLSTATE of its own.
sends_again($topic, 'impatient') or die 'nothing can be sent';
$broker->pause;
($state, $error) = failure("SELECT kafka_send('$topic', 'timed out', server => 'impatient')");
is($state, '08007', 'message_timeout_ms: an unknown outcome is 08007');
like($error, qr/could not send to topic "\Q$topic\E": the message may be stored/,
	'message_timeout_ms: the message may be stored');
like($error, qr/DETAIL:  Partition 0: \S/, 'message_timeout_ms: partition and cause are named');
($state, $error) = failure("SELECT kafka_send('$topic', 'no metadata', server => 'impatient')");
like($state, qr/^08(001|006)$/, "metadata_timeout: a failed connection is 08xxx ($state)");
like($error, qr/could not send to topic "\Q$topic\E": the message is not stored/,
	'metadata_timeout: the message is not stored');
$broker->resume;
ok(sends_again($topic, 'impatient'), 'message_timeout_ms: the session sends again');
cmp_ok(count("value = 'timed out'"), '<=', 1, 'message_timeout_ms: it is there once at most');
is(count("value = 'no metadata'"), '0', 'metadata_timeout: it did not come later');

$broker->pause;
($state, $error) = failure(
	"INSERT INTO impatient_t SELECT 'impatient ' || i FROM generate_series(1, 1000) i");
is($state, '08007', 'message_timeout_ms: so it is for an INSERT');
like($error, qr/DETAIL:  Row \d+, partition 0: /, 'message_timeout_ms: the row is named');
$broker->resume;
like($session->query("SELECT kafka_send('$topic', 'after', server => 'kafka')"), qr/^\d+$/,
	'message_timeout_ms: the session sends again');
check_rows($error, "value LIKE 'impatient %'", 'INSERT with message_timeout_ms');

#----------------------------------------------------------------------
# A broker that is killed
#----------------------------------------------------------------------

sends_again($topic, 'impatient') or die 'nothing can be sent';
$broker->kill;
($state, $error) = failure("SELECT kafka_send('$topic', 'to the dead', server => 'impatient')");
like($state, qr/^0800[67]$/, "killed: a failed connection is 08xxx ($state)");
my $unsure = $error =~ /the message may be stored/;
like($error, qr/the message (may be|is not) stored/, 'killed: the outcome is said');
like($error, qr/DETAIL:  .*(refused|Disconnected|Connect|closed)/, 'killed: and what the connection said');
$broker->start;
like($session->query("SELECT kafka_send('$topic', 'after', server => 'kafka')"), qr/^\d+$/,
	'started: the session sends again');
cmp_ok(count("value = 'to the dead'"), '<=', $unsure ? 1 : 0, 'started: it was true');

# kill -9 in the middle of an INSERT: it goes on with the next broker, without a loss or a repeat.
# The rows wait half way for a lock, so that the broker is frozen, and then dies, with the second
# half under way. On a busy machine it comes back later than message_timeout_ms is by default.
my $gate = KafkaFdw::Test->session($node);

$gate->query('SELECT pg_advisory_lock(1)');
$session->send(q{
	INSERT INTO patient_t (value) SELECT 'survivor ' || i FROM generate_series(1, 20000) i
		WHERE i <> 10000 OR pg_advisory_xact_lock(1) IS NOT NULL});
$node->poll_query_until('postgres',
	'SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = ' . $session->pid . q{ AND wait_event = 'advisory'})
  or die 'the INSERT did not come to the lock';
$broker->pause;
$gate->query('SELECT pg_advisory_unlock(1)');
$session->wait_until_waiting;
$broker->kill;
$broker->start;
$session->finish;
is($session->stderr, '', 'killed in an INSERT: no error');
is($node->safe_psql('postgres', q{
	SELECT count(*), count(DISTINCT value) FROM t WHERE value LIKE 'survivor %'}),
	'20000|20000', 'killed in an INSERT: every row once');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM (
		SELECT substr(value, 10)::int < lag(substr(value, 10)::int) OVER (ORDER BY "offset") AS back
		FROM t WHERE value LIKE 'survivor %') s WHERE back}),
	'0', 'killed in an INSERT: in their order');

#----------------------------------------------------------------------
# Errors from the broker
#----------------------------------------------------------------------

my $mock = KafkaFdw::Test->tool('kmock', 3);

KafkaFdw::Test->create_server($node, 'mock', $mock->greeting, "message_timeout_ms '60s', metadata_timeout '60s'");
KafkaFdw::Test->create_server($node, 'mock_impatient', $mock->greeting, "message_timeout_ms '5s'");
$mock->ok('topic m 1 3');
$node->safe_psql('postgres',
	q{CREATE FOREIGN TABLE m ("offset" bigint, value text) SERVER mock OPTIONS (topic 'm')});

# Requests of the Produce API (0) that fail: with a code, what comes of it. Those that are tried again have
# to be given up.
foreach my $case (
	[ 19, 1000, '53000', 'not enough replicas', qr/is not stored.*not enough in-sync replicas \(3 of 3 replicas are in sync\)/is ],
	[ 20, 1000, '53000', 'not enough replicas after all', qr/may be stored.*insufficient.*\(3 of 3 replicas/is ],
	[ 10, 1, '54000', 'too large', qr/is not stored.*message_max_bytes/s ],
	[ 29, 1, '42501', 'not authorized', qr/is not stored.*authoriz/is ],
	[ 32, 1, '22008', 'invalid timestamp', qr/is not stored.*message.timestamp.after.max.ms/s ],
	[ 87, 1, 'HV000', 'invalid record', qr/is not stored/ ])
{
	my ($code, $times, $expected, $name, $pattern) = @$case;
	my $server = $times > 1 ? 'mock_impatient' : 'mock';

	sends_again('m', $server) or die 'nothing can be sent';
	$mock->ok("error 0 $times $code");
	($state, $error) = failure("SELECT kafka_send('m', 'x', server => '$server')");
	is($state, $expected, "$name: SQLSTATE");
	like($error, $pattern, "$name: what is said");
	like($error, qr/Partition 0: /, "$name: the partition is named");
	$mock->ok('clear 0');
	ok(sends_again('m', $server), "$name: the session sends again");
}

# Errors that pass are waited for.
foreach my $case ([ 6, 'not the leader' ], [ 7, 'request timed out' ], [ 19, 'too few replicas' ],
	[ 56, 'storage error' ])
{
	my ($code, $name) = @$case;
	my $before = $session->query("SELECT kafka_send('m', 'x', server => 'mock')");

	$mock->ok("error 0 2 $code");
	is($session->query("SELECT kafka_send('m', 'x', server => 'mock')"), $before + 1,
		"$name: the message is stored, and once");
}

# The row that failed, and the others.
$mock->ok('error 0 1 10');
($state, $error) = failure(q{INSERT INTO m (value) VALUES ('one'), ('two'), ('three') RETURNING 1});
is($state, '54000', 'INSERT: SQLSTATE of a row');
like($error, qr/DETAIL:  Partition 0: .*too large/, 'INSERT: the first row failed alone');
$mock->ok('error 0 1 10');
($state, $error) = failure(q{INSERT INTO m (value) VALUES ('one'), ('two'), ('three')});
like($error, qr/DETAIL:  Row 1, partition 0: .*too large/, 'INSERT: the row is named');

# Round trips of 300 ms are only slow.
$mock->ok("rtt $_ 300") foreach 1 .. 3;
$session->query('SELECT kafka_disconnect()');
like($session->query("SELECT kafka_send('m', 'x', server => 'mock')"), qr/^\d+$/, 'slow: a message');
$session->query(q{INSERT INTO m (value) SELECT i FROM generate_series(1, 1000) i});
is($session->stderr, '', 'slow: an INSERT');
$mock->ok("rtt $_ 0") foreach 1 .. 3;

# Brokers that are all gone at the first use.
$session->query('SELECT kafka_disconnect()');
$session->query(q{ALTER SERVER mock_impatient OPTIONS (ADD metadata_timeout '3s')});
$mock->ok("down $_") foreach 1 .. 3;
($state, $error) = failure("SELECT kafka_send('m', 'x', server => 'mock_impatient')");
like($state, qr/^08(001|006)$/, "gone: SQLSTATE $state");
like($error, qr/the message is not stored/, 'gone: the message is not stored');
like($error, qr/DETAIL:  .*refused/, 'gone: and what the connection said');
$mock->ok("up $_") foreach 1 .. 3;
ok(sends_again('m', 'mock_impatient'), 'back: the session sends again');

#----------------------------------------------------------------------
# What failures leave behind
#----------------------------------------------------------------------

# Failures of all kinds, by which handles are thrown away, in a session that has had some.
my $failures = qq{
DO \$\$
BEGIN
	FOR i IN 1..50 LOOP
		BEGIN PERFORM kafka_send('$topic.not', 'x', server => 'kafka'); EXCEPTION WHEN OTHERS THEN END;
		BEGIN PERFORM kafka_send('$topic', 'x', partition => 9, server => 'kafka'); EXCEPTION WHEN OTHERS THEN END;
		BEGIN PERFORM kafka_send('$topic', NULL::text, server => 'kafka'); EXCEPTION WHEN OTHERS THEN END;
		BEGIN INSERT INTO t (value) SELECT repeat('x', 1000) || 1 / (1000 - i) FROM generate_series(1, 1001) i; EXCEPTION WHEN OTHERS THEN END;
		PERFORM kafka_send('$topic', 'x', server => 'kafka');
	END LOOP;
END \$\$};

my $pid = $session->pid;

# What is left when no handle is. The threads of what is thrown away end by themselves, and one with a call
# that has not quite ended is thrown away later.
sub bare
{
	my $counters;

	KafkaFdw::Test->wait_until(
		sub {
			$session->query('SELECT kafka_disconnect()');
			$counters = KafkaFdw::Test->counters($pid);
			return $counters->{threads} == 1;
		});
	return $counters;
}

$session->query($failures);
is($session->stderr, '', 'failures: caught');
my $before = bare();

is($before->{threads}, 1, 'failures: no thread is left');
$session->query($failures) foreach 1 .. 3;
my $after = bare();

is($after->{threads}, 1, 'more failures: no thread is left');
is($after->{fds}, $before->{fds}, 'more failures: no descriptor is left');
cmp_ok($after->{rss} - $before->{rss}, '<', 8192, 'more failures: no memory is left');

# And successes: the memory of a session that sends for ever stays as it is.
$session->query(qq{DO \$\$ BEGIN FOR i IN 1..2000 LOOP
	PERFORM kafka_send('$topic', 'x', server => 'kafka'); END LOOP; END \$\$});
$before = KafkaFdw::Test->counters($pid);
$session->query(qq{DO \$\$ BEGIN FOR i IN 1..10000 LOOP
	PERFORM kafka_send('$topic', 'x', server => 'kafka'); END LOOP; END \$\$});
$after = KafkaFdw::Test->counters($pid);
is($after->{threads}, $before->{threads}, '10,000 messages: no thread is left');
is($after->{fds}, $before->{fds}, '10,000 messages: no descriptor is left');
cmp_ok($after->{rss} - $before->{rss}, '<', 1024, '10,000 messages: no memory is left');

$gate->quit;
$session->quit;
$mock->quit;
done_testing();
