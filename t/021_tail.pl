# t/021_tail.pl
#		A tail: each message shows as it comes, until LIMIT, a timeout or a cancel ends it.
#
# Where a test says that a row shows "at once", the tail has no timeout: a row that was held back in
# some buffer would not show at all, and the test would wait until it gives up.
use strict;
use warnings;

use KafkaFdw::Test;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

# What an end may take on a machine that is busy with other things, beside the time it should.
my $slack = 60;

my $node = KafkaFdw::Test->new_node('tail', undef, server_options => "metadata_timeout '60s'");
my $tables = 0;

# A foreign table on a topic, with further options; its name.
sub tail_of
{
	my ($topic, $options, $server) = @_;
	my $table = 'tail_' . ++$tables;

	$server //= 'kafka';
	$node->safe_psql('postgres', qq{
		CREATE FOREIGN TABLE $table (partition int, "offset" bigint, key text, value text)
			SERVER $server OPTIONS (topic '$topic', $options)});
	return $table;
}

# A new topic.
sub new_topic
{
	my ($name, $partitions, $server) = @_;
	my $topic = KafkaFdw::Test->topic($name);

	$server //= 'kafka';
	$node->safe_psql('postgres',
		"SELECT kafka_create_topic('$topic', " . ($partitions // 1) . ", server => '$server')");
	return $topic;
}

# A further session sends.
my $sender = KafkaFdw::Test->session($node);

sub send_to
{
	my ($topic, $value, $partition) = @_;
	my $where = defined $partition ? ", partition => $partition" : '';

	like($sender->query("SELECT kafka_send('$topic', '$value'$where, server => 'kafka')"),
		qr/^\d+$/, "\"$value\" is sent");
	return;
}

# A tail from the newest offset on begins when its scan has looked where that is, which nobody sees
# from outside: send until something shows. Forgets what has shown, and returns it.
sub wait_until_tailing
{
	my ($session, $topic) = @_;
	my $n = 0;

	KafkaFdw::Test->wait_until(
		sub {
			$sender->query("SELECT kafka_send('$topic', 'probe " . ++$n . "', server => 'kafka')");
			usleep(50_000);
			return $session->stdout =~ /probe/;
		}) or die 'the tail does not begin: ' . $session->stderr;
	my $shown = $session->wait_for(qr/probe $n$/m);

	$session->clear;
	return $shown;
}

# The default of "newest" takes ten seconds: let it run while the other tests do.
my $default_topic = new_topic('default');
my $default_tail = tail_of($default_topic, "start_offset 'newest'");
my $default_session = KafkaFdw::Test->session($node);

$default_session->send("\\timing on");
$default_session->send("SELECT 'rows: ' || count(*) FROM $default_tail");

#----------------------------------------------------------------------
# Each row shows at once, whichever way psql reads
#----------------------------------------------------------------------

# COPY goes through the standard output of psql, which is buffered where that is no terminal.
my $line_psql = PostgreSQL::Test::Utils::tempdir() . '/psql';

append_to_file($line_psql,
	"#!/bin/sh\nexec stdbuf -oL '" . $node->installed_command('psql') . "' \"\$@\"\n");
chmod 0755, $line_psql or die "could not chmod $line_psql: $!";

# A name, options of the session, what starts the tail, what asks for each row.
my @ways = (
	[ 'a cursor', {}, 'BEGIN; DECLARE c CURSOR FOR SELECT value FROM %s', 'FETCH 1 FROM c' ],
	[ 'FETCH_COUNT', { fetch_count => 1 }, 'SELECT value FROM %s', '' ],
	[ 'FETCH_COUNT of psql 17', { fetch_count => 1, psql => KafkaFdw::Test->psql17 },
		'SELECT value FROM %s', '' ],
	[ 'COPY', { psql => $line_psql }, 'COPY (SELECT value FROM %s) TO STDOUT', '' ],
);

foreach my $way (@ways)
{
	my ($name, $options, $begin, $each) = @$way;

  SKIP:
	{
		skip 'there is no psql of version 17', 1 if exists $options->{psql} && !$options->{psql};
		skip 'there is no stdbuf', 1 if $name eq 'COPY' && system("stdbuf -oL true 2>/dev/null") != 0;

		my $topic = new_topic('way');
		my $table = tail_of($topic, "start_offset 'earliest', wait_timeout '-1'");
		my $session = KafkaFdw::Test->session($node, %$options);

		$session->send(sprintf $begin, $table);
		foreach my $n (1 .. 3)
		{
			$session->send($each) if $each;
			$session->wait_until_waiting;
			send_to($topic, "message $n");
			$session->wait_for(qr/^message $n$/m);
			pass("$name: row $n shows at once");
		}

		# Several that come together.
		$sender->query("INSERT INTO $table (value) SELECT 'more ' || g FROM generate_series(1, 50) g");
		if ($each)
		{
			$session->send('FETCH 1 FROM c') foreach 1 .. 50;
		}
		$session->wait_for(qr/^more 50$/m);
		is_deeply([ $session->stdout =~ /^(m.*)$/mg ],
			[ (map { "message $_" } 1 .. 3), (map { "more $_" } 1 .. 50) ],
			"$name: all rows show, each once, in order");

		$session->send($each) if $each;
		$session->wait_until_waiting;
		$session->cancel;
		$session->wait_for_error(qr/canceling statement due to user request/);
		is($session->query('ROLLBACK; SELECT 1'), '1', "$name: a cancel ends it");
		$session->quit;
	}
}

#----------------------------------------------------------------------
# "newest": what was there does not show
#----------------------------------------------------------------------

my $newest_topic = new_topic('newest', 2);
my $newest = tail_of($newest_topic, "start_offset 'newest', wait_timeout '-1'");

send_to($newest_topic, 'before', $_) foreach 0 .. 1;

my $first = KafkaFdw::Test->session($node, fetch_count => 1);
my $second = KafkaFdw::Test->session($node, fetch_count => 1);

$first->send("SELECT partition, value FROM $newest");
unlike(wait_until_tailing($first, $newest_topic), qr/before/, 'newest: what was there does not show');

# Two sessions, one of them with a condition.
$second->send("SELECT partition, value FROM $newest WHERE partition = 1");
KafkaFdw::Test->wait_until(
	sub {
		send_to($newest_topic, 'second?', 1);
		usleep(50_000);
		return $second->stdout =~ /second\?/;
	});
send_to($newest_topic, 'left', 0);
send_to($newest_topic, 'right', 1);
$first->wait_for(qr/^0\|left$/m);
$first->wait_for(qr/^1\|right$/m);
$second->wait_for(qr/^1\|right$/m);
unlike($second->stdout, qr/left|before/, 'two tails at once: a condition narrows one of them');
unlike($first->stdout, qr/before/, 'two tails at once: both go on');

# What a cancelled tail held.
foreach my $tail ($first, $second)
{
	$tail->cancel;
	$tail->wait_for_error(qr/canceling statement due to user request/);
	is($tail->query(q{SELECT count(*) FROM kafka_connections WHERE kind = 'tail'}), '0',
		'a cancelled tail keeps no connection');
	$tail->quit;
}

#----------------------------------------------------------------------
# What ends a tail
#----------------------------------------------------------------------

my $topic = new_topic('end', 3);
my $forever = tail_of($topic, "start_offset 'earliest', wait_timeout '-1'");
my $session = KafkaFdw::Test->session($node, fetch_count => 1);

# A client that is gone without a word, of which PostgreSQL itself takes care.
my $gone = KafkaFdw::Test->session($node, fetch_count => 1);

$gone->query("SET client_connection_check_interval = '100ms'");
$gone->send("SELECT value FROM $forever");
$gone->wait_until_waiting;
$gone->kill;
ok(KafkaFdw::Test->process_gone($gone->pid, $PostgreSQL::Test::Utils::timeout_default),
	'a tail ends with its client');

# The backlog first, then what comes; then LIMIT.
send_to($topic, "old $_", $_) foreach 0 .. 2;
$session->send("SELECT value FROM $forever LIMIT 5");
$session->wait_for(qr/^old $_$/m) foreach 0 .. 2;
pass('earliest: the backlog shows before the tail has ended');
send_to($topic, 'new 1', 1);
$session->wait_for(qr/^new 1$/m);
send_to($topic, 'new 2', 2);
$session->finish;
pass('LIMIT ends a tail that would wait for ever');

# An aggregate over a LIMIT of a tail.
is($session->query("SELECT count(*) FROM (SELECT 1 FROM $forever LIMIT 5) s"), '5',
	'LIMIT ends it within a query, too');

# wait_timeout, on an empty and on a full topic.
sub timed
{
	my ($sql) = @_;
	my $start = time;
	my $output = $session->query($sql);

	is($session->stderr, '', 'no error') if $session->stderr;
	return ($output, time - $start);
}

my $half = tail_of($topic, "start_offset 'earliest', wait_timeout '500ms'");
my ($output, $took) = timed("SELECT count(*) FROM $half");

is($output, '5', 'wait_timeout: all rows');
cmp_ok($took, '>=', 0.5, 'wait_timeout is waited for');
cmp_ok($took, '<', $slack, 'wait_timeout ends the tail');

my $empty = tail_of(new_topic('empty', 2), "start_offset 'newest', wait_timeout '500ms'");

($output, $took) = timed("SELECT count(*) FROM $empty");
is($output, '0', 'wait_timeout: no row');
cmp_ok($took, '>=', 0.5, 'wait_timeout is waited for on an empty topic');
cmp_ok($took, '<', $slack, 'wait_timeout ends the tail of an empty topic');

# A rescan waits anew, and has what came in between.
($output, $took) = timed(qq{
	SELECT string_agg(n::text, ',')
	FROM generate_series(1, 2) g, LATERAL (SELECT count(*) AS n FROM $half WHERE partition >= g - g) s});
is($output, '5,5', 'a tail can be rescanned');

# The last messages are searched for on a handle for short reads, and not on the tail's own: its long
# poll at the end would hold up the first row by half a second.
my $last = tail_of($topic, "start_offset '-1', wait_timeout '-1'");
my $fresh = KafkaFdw::Test->session($node);

$fresh->query("BEGIN; DECLARE c CURSOR FOR SELECT value FROM $last");
like($fresh->query('FETCH 1 FROM c'), qr/^(old|new) \d$/, 'a tail of the last messages');
is( $fresh->query('SELECT kind, in_use FROM kafka_connections ORDER BY kind'),
	"consumer|f\ntail|t",
	'they are searched for on another handle than the tail reads with');
$fresh->quit;

# A condition that excludes all partitions leaves nothing to wait for.
$output = $session->query("SELECT count(*) FROM $forever WHERE partition = 7");
is($output, '0', 'a tail of no partition ends at once');

# wait_timeout begins anew with each message: three of them, of which each comes in time, though the last
# would not if it did not. Where the machine has made one late, that was no try.
my $start;
my $beats;

foreach my $try (1 .. 10)
{
	my $topic = new_topic('anew');
	my $anew = tail_of($topic, "start_offset 'earliest', wait_timeout '4s'");

	$start = time;
	$beats = 0;
	$session->clear;
	$session->send("SELECT value FROM $anew");
	$session->send('\\echo ended');
	foreach my $n (1 .. 3)
	{
		KafkaFdw::Test->wait_until(sub { time > $start + 2 * $n });
		send_to($topic, "beat $n");
		last if $session->wait_for(qr/^(beat $n|ended)$/m) !~ /^beat $n$/m;
		$beats++;
	}
	$session->finish;
	last if $beats == 3;
}
is($beats, 3, 'wait_timeout begins anew with each message');
cmp_ok(time - $start, '>=', 4 + 4, 'and is waited for after the last');
cmp_ok(time - $start, '<', 6 + $slack, 'and ends the tail');

# max_wait, however many messages come: a sender that never stops.
my $topic_max = new_topic('max');
my $max = tail_of($topic_max, "start_offset 'earliest', wait_timeout '-1', max_wait '2s'");
my $stream = KafkaFdw::Test->session($node);

$stream->send(qq{
	DO \$\$
	BEGIN
		LOOP
			PERFORM kafka_send('$topic_max', 'x', server => 'kafka');
		END LOOP;
	END \$\$});
KafkaFdw::Test->wait_until(
	sub {
		$sender->query("SELECT count(*) > 10 FROM kafka_read('$topic_max', server => 'kafka')") eq 't';
	});
($output, $took) = timed("SELECT count(*) > 10 FROM $max");
is($output, 't', 'max_wait: rows came');
cmp_ok($took, '>=', 2, 'max_wait is waited for');
cmp_ok($took, '<', $slack, 'max_wait ends a tail to which messages keep coming');

# The same for a reader who is slower than the sender, so that there is always a next message.
my $slow =
  tail_of($topic_max, "start_offset 'newest', wait_timeout '-1', max_wait '2s'");

# Where the sender was kept from sending meanwhile, there is nothing to be slow with.
ok( KafkaFdw::Test->wait_until(
		sub {
			($output, $took) = timed("SELECT count(pg_sleep(0.02)) > 10 FROM $slow");
			return $output eq 't';
		}),
	'max_wait: a slow reader has rows');
cmp_ok($took, '<', $slack, 'max_wait ends the tail of a slow reader');
$stream->cancel;
$stream->wait_for_error(qr/canceling statement/);
$stream->quit;

# A given end.
my $topic_given = new_topic('given', 2);
my $given = tail_of($topic_given,
	"start_offset 'earliest', end_offset '2', wait_timeout '-1'");

$session->clear;
$session->send("SELECT value FROM $given");
foreach my $partition (0 .. 1)
{
	foreach my $n (1 .. 3)
	{
		send_to($topic_given, "given $partition.$n", $partition);
		$session->wait_for(qr/^given $partition\.$n$/m) if $n < 3;
	}
}
is(join(' ', sort split /\n/, $session->finish), 'given 0.1 given 0.2 given 1.1 given 1.2',
	'end_offset ends a tail: so many messages of each partition');

# A condition on the offset is an end, too.
$session->clear;
$session->send(qq{SELECT value FROM $forever WHERE partition = 0 AND "offset" <= 2});
$session->wait_for(qr/^old 0$/m);
$session->wait_until_waiting;
send_to($topic, 'end 1', 0);
$session->wait_for(qr/^end 1$/m);
send_to($topic, 'end 2', 0);
is($session->finish, "old 0\nend 1\nend 2", 'a condition on the offset ends a tail');

# A start beyond the end: the tail waits for it, or for what comes first.
my $topic_later = new_topic('later');
my $later = tail_of($topic_later, "start_offset 'earliest', wait_timeout '-1'");

$session->clear;
$session->send(qq{SELECT "offset" FROM $later WHERE "offset" >= 2 LIMIT 1});
$session->wait_until_waiting;
send_to($topic_later, "later $_") foreach 0 .. 2;
is($session->finish, '2', 'a tail can start at an offset that is not there yet');

#----------------------------------------------------------------------
# Transactions
#----------------------------------------------------------------------

my $topic_txn = new_topic('txn');
my $committed = tail_of($topic_txn, "start_offset 'earliest', wait_timeout '-1'");
my $uncommitted = tail_of($topic_txn,
	"start_offset 'earliest', wait_timeout '-1', isolation_level 'read_uncommitted'");
my $txn = KafkaFdw::Test->tool('ktxn', KafkaFdw::Test->bootstrap, $topic_txn);
my $dirty = KafkaFdw::Test->session($node, fetch_count => 1);

$session->clear;
$session->send("SELECT value FROM $committed");
$dirty->send("SELECT value FROM $uncommitted");
$txn->ok('begin');
$txn->ok("send $topic_txn 0 k aborted");
$dirty->wait_for(qr/^aborted$/m);
pass('read_uncommitted: a message shows before its transaction ends');
send_to($topic_txn, 'behind it');
$dirty->wait_for(qr/^behind it$/m);
is($session->stdout, '', 'read_committed: nothing shows while a transaction is open');
$txn->ok('abort');
$session->wait_for(qr/^behind it$/m);
$txn->ok('begin');
$txn->ok("send $topic_txn 0 k committed");
$dirty->wait_for(qr/^committed$/m);
is($session->stdout, "behind it", 'read_committed: an aborted message never shows');
$txn->ok('commit');
$session->wait_for(qr/^committed$/m);
pass('read_committed: a message shows as its transaction commits');
$txn->quit;
foreach my $tail ($session, $dirty)
{
	$tail->cancel;
	$tail->wait_for_error(qr/canceling statement due to user request/);
}
$dirty->quit;

# The last messages are aborted: the tail is past them, and its timeout runs.
my $after = tail_of($topic_txn, "start_offset 'earliest', wait_timeout '500ms'");
my $aborts = KafkaFdw::Test->tool('ktxn', KafkaFdw::Test->bootstrap, "$topic_txn.2");

$aborts->ok('begin');
$aborts->ok("send $topic_txn 0 k aborted");
$aborts->ok('abort');
$aborts->quit;
KafkaFdw::Test->settle($node, $topic_txn);
is($session->query("SELECT string_agg(value, ', ') FROM $after"), 'behind it, committed',
	'a tail that ends behind aborted messages ends');

#----------------------------------------------------------------------
# Inside plpgsql
#----------------------------------------------------------------------

# PL/pgSQL reads ahead in a plain FOR loop over a query, but not over a cursor.
my $topic_loop = new_topic('loop');
my $loop = tail_of($topic_loop, "start_offset 'earliest', wait_timeout '-1'");
my $looping = KafkaFdw::Test->session($node);

$looping->send(qq{
	DO \$\$
	DECLARE
		c CURSOR FOR SELECT value FROM $loop;
	BEGIN
		FOR r IN c LOOP
			RAISE NOTICE 'got %', r.value;
			EXIT WHEN r.value = 'stop';
		END LOOP;
	END \$\$});
foreach my $value ('loop 1', 'loop 2', 'stop')
{
	send_to($topic_loop, $value);
	$looping->wait_for_error(qr/NOTICE:  got $value$/m);
}
$looping->finish;
pass('PL/pgSQL: each row as it comes, over a cursor');
is($looping->query('SELECT count(*) FILTER (WHERE in_use) FROM kafka_connections'), '0',
	'PL/pgSQL: a loop that was left holds nothing');

my $bounded = tail_of($topic_loop, "start_offset 'earliest', wait_timeout '300ms'");

$looping->query(qq{
	DO \$\$
	DECLARE
		r record;
	BEGIN
		FOR r IN SELECT value FROM $bounded LOOP
			RAISE NOTICE 'again %', r.value;
		END LOOP;
	END \$\$});
is_deeply([ $looping->stderr =~ /again (.*)/g ], [ 'loop 1', 'loop 2', 'stop' ],
	'PL/pgSQL: a plain loop has all rows');

#----------------------------------------------------------------------
# Many partitions, and signals that are no reason to end
#----------------------------------------------------------------------

my $topic_many = new_topic('many', 100);
my $many = tail_of($topic_many, "start_offset 'newest', wait_timeout '-1'");

$session->clear;
$session->send("SELECT partition || ':' || value FROM $many WHERE value LIKE 'p%'");
wait_until_tailing($session, $topic_many);
$sender->query(qq{
	INSERT INTO $many (partition, value) SELECT g, 'p' FROM generate_series(0, 99) g});
$session->wait_for(qr/^$_:p$/m) foreach 0 .. 99;
pass('a tail of a hundred partitions has messages of each');
$node->reload;
$node->safe_psql('postgres', 'NOTIFY unheard');
send_to($topic_many, 'pong', 50);
$session->wait_for(qr/^50:pong$/m);
pass('a reload does not end a tail');
$session->cancel;
$session->wait_for_error(qr/canceling statement due to user request/);

# One partition is at its end while the messages of the other are still to come. From 2.1 on librdkafka takes
# the end for a message, and itself to be behind the next one.
my $mock = KafkaFdw::Test->tool('kmock', 2);
my $fetch = 1;

KafkaFdw::Test->create_server($node, 'mock', $mock->greeting, "metadata_timeout '60s'");
$mock->ok($_) foreach 'topic ends 2 1', 'leader ends 0 1', 'leader ends 1 2';
sub send_to_mock
{
	my ($partition, $value) = @_;

	like($sender->query("SELECT kafka_send('ends', '$value', partition => $partition, server => 'mock')"), qr/^\d+$/,
		"\"$value\" is sent");
	return;
}
send_to_mock(0, 'quick');
send_to_mock(1, 'slow');
my $ends = tail_of('ends', "start_offset 'earliest', wait_timeout '-1'", 'mock');
my $waiter = KafkaFdw::Test->session($node, fetch_count => 1);

$mock->ok("slow 2 $fetch 1 3000");
$waiter->send("SELECT value FROM $ends");
$waiter->wait_for(qr/^slow$/m);
like($waiter->stdout, qr/^quick\nslow$/m, 'one partition is slower');
send_to_mock(0, 'next');
$waiter->wait_for(qr/^next$/m);
pass('what comes behind the end of the other one shows');
$waiter->cancel;
$waiter->quit;

#----------------------------------------------------------------------
# A broker that goes and comes back
#----------------------------------------------------------------------

my $broker = KafkaFdw::Test->new_broker('tail');

KafkaFdw::Test->create_server($node, 'mortal', $broker, "metadata_timeout '60s', message_timeout_ms '2min'");
my $topic_mortal = new_topic('mortal', 2, 'mortal');
my $mortal =
  tail_of($topic_mortal, "start_offset 'earliest', wait_timeout '-1'", 'mortal');
my $mourner = KafkaFdw::Test->session($node, fetch_count => 1);

$mourner->send("SELECT value FROM $mortal");
$sender->query("SELECT kafka_send('$topic_mortal', 'before ' || p, partition => p, server => 'mortal')
	FROM generate_series(0, 1) p");
$mourner->wait_for(qr/^before $_$/m) foreach 0 .. 1;
foreach my $death ('kill', 'stop')
{
	$broker->$death;
	$broker->start;
	$sender->query("SELECT kafka_send('$topic_mortal', '$death ' || p, partition => p, server => 'mortal')
		FROM generate_series(0, 1) p");
	is($sender->stderr, '', "$death: the sender finds the broker again");
	$mourner->wait_for(qr/^$death $_$/m) foreach 0 .. 1;
	is($mourner->stderr, '', "$death: the tail finds the broker again");
}
is(scalar(() = $mourner->stdout =~ /\S+ \d/g), 6, "no row shows twice");

# A tail waits for messages, not for the broker. And what comes while that is away, a cancel or the tail's
# own end, is heard.
my $mortal_end = tail_of($topic_mortal, "start_offset 'newest', wait_timeout '3s'", 'mortal');
my $ending = KafkaFdw::Test->session($node);

$ending->send("SELECT count(*) FROM $mortal_end");
$ending->wait_until_waiting;
$broker->kill;
$mourner->cancel;
$mourner->wait_for_error(qr/canceling statement due to user request/);
pass('a tail can be cancelled while its broker is away');
$mourner->quit;
$broker->start;
$ending->finish;
pass('a tail ends by wait_timeout across a restart of its broker');

#----------------------------------------------------------------------
# And the tail that was begun first
#----------------------------------------------------------------------

$output = $default_session->finish;
like($output, qr/^rows: 0$/m, 'newest without timeouts: no row');
like($output, qr/^Time: /m, 'newest without timeouts: it ended');
my ($ms) = $output =~ /^Time: ([\d.]+) ms/m;
cmp_ok($ms // 0, '>=', 10000, 'newest without timeouts: it waited for ten seconds');

unlike(slurp_file($node->logfile), qr/terminated by signal|exited with exit code [^01]/,
	'no backend crashed');

done_testing();
