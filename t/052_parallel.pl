# t/052_parallel.pl
#		A scan that several processes share: it ends when it is told to, stops when no more rows are
#		wanted, says once what was lost, counts what all did, and leaves nothing behind.
#
# Processes are held at a "gate", a file that a function looks for, so that each test finds them in the
# state that it is about.
use strict;
use warnings;

use KafkaFdw::Test;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# What "at once" may cost on a machine that is busy with other things; what does not end by itself takes ten minutes.
my $at_once = 20;

my $broker = KafkaFdw::Test->new_broker('parallel');
my $node = KafkaFdw::Test->new_node('parallel', $broker,
	server_options => "metadata_timeout '10min'",
	conf => qq{
jit = off
max_worker_processes = 12
max_parallel_workers_per_gather = 2
parallel_setup_cost = 0
parallel_tuple_cost = 0
min_parallel_table_scan_size = 0
});

# Long enough that each of three processes needs the broker again after what it has fetched ahead.
my $rows = 60_000;
my $topic = KafkaFdw::Test->topic('parallel');

sub create_topic
{
	my ($table, $name) = @_;

	$node->safe_psql('postgres', qq{
		SELECT kafka_create_topic('$name', 1);
		CREATE FOREIGN TABLE $table (partition int, "offset" bigint, value text)
			SERVER kafka OPTIONS (topic '$name');
		INSERT INTO $table (value) SELECT repeat('x', 1000) FROM generate_series(1, $rows)});
	return;
}
create_topic('t', $topic);

# gate() waits while the file is there; gate(pid) returns whether this is that process, which waits
# for one gate and others for another.
$node->safe_psql('postgres', q{
	CREATE FUNCTION gate(name text DEFAULT 'gate') RETURNS boolean LANGUAGE plpgsql PARALLEL SAFE AS $$
	BEGIN
		WHILE (pg_stat_file(name, true)).size IS NOT NULL LOOP
			PERFORM pg_sleep(0.01);
		END LOOP;
		RETURN true;
	END $$;
	CREATE FUNCTION gate(pid int) RETURNS boolean LANGUAGE plpgsql PARALLEL SAFE AS $$
	BEGIN
		IF pg_backend_pid() = pid THEN
			RETURN gate('leader_gate');
		END IF;
		RETURN NOT gate('gate');
	END $$});

sub close_gate
{
	append_to_file($node->data_dir . '/' . ($_[0] // 'gate'), 'closed');
	return;
}

sub open_gate
{
	unlink $node->data_dir . '/' . ($_[0] // 'gate') or die "could not open the gate: $!";
	return;
}

# Wait until as many processes of a statement are in a wait that matches.
sub wait_for_processes
{
	my ($count, $event) = @_;

	ok(KafkaFdw::Test->wait_until(sub {
		$node->safe_psql('postgres', qq{SELECT count(*) FROM pg_stat_activity
			WHERE query LIKE '%FROM t%' AND pid <> pg_backend_pid() AND wait_event ~ '$event'}) >= $count;
	}), "$count processes wait for $event");
	return;
}

sub no_workers
{
	my ($name) = @_;

	ok(KafkaFdw::Test->wait_until(sub {
		$node->safe_psql('postgres',
			q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'}) == 0;
	}), "$name: no worker is left");
	return;
}

my $session = KafkaFdw::Test->session($node);
# A row of each process goes through the gate, and all later ones every now and then.
my $gated = 'SELECT count(*) FROM t WHERE "offset" % 100 > 0 OR gate()';
my $kafka_wait = 'Extension|KafkaWait';

#----------------------------------------------------------------------
# Counters of all processes
#----------------------------------------------------------------------

close_gate();
$session->send("EXPLAIN (ANALYZE, VERBOSE, COSTS OFF) $gated");
wait_for_processes(3, 'PgSleep');
open_gate();
my $plan = $session->finish;

like($plan, qr/Workers Launched: 2/, 'two workers');
my ($messages) = $plan =~ /Kafka Messages: (\d+)/;
my ($outside) = $plan =~ /Kafka Messages Outside Ranges: (\d+)/;
my @share = $plan =~ /Messages by Process: leader (\d+), worker 0 (\d+), worker 1 (\d+)/;

is($messages - ($outside // 0), $rows, 'messages within the ranges are the rows');
is($share[0] + $share[1] + $share[2], $messages, 'the shares of all processes are all messages');
cmp_ok($_, '>', 0, 'each had a share') foreach @share;
no_workers('a count');

#----------------------------------------------------------------------
# Frozen broker: timeout, cancel, terminate
#----------------------------------------------------------------------

# Leave the statement with all of its processes waiting for a broker that is frozen.
sub freeze
{
	my ($victim) = @_;

	close_gate();
	$victim->send($gated);
	wait_for_processes(3, 'PgSleep');
	$broker->pause;
	open_gate();
	wait_for_processes(3, $kafka_wait);
	return;
}

freeze($session);
my $start = time;
$session->cancel;
$session->finish;
note sprintf 'a cancel took %d ms', (time - $start) * 1000;
cmp_ok(time - $start, '<', $at_once, 'a cancel is answered at once');
like($session->stderr, qr/canceling statement due to user request/, 'a cancel is answered');
no_workers('a cancel');
$broker->resume;
is($session->query('SELECT count(*) FROM t'), $rows, 'the session goes on when the broker does');

my $victim = KafkaFdw::Test->session($node);

freeze($victim);
$start = time;
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . $victim->pid . ')');
ok(KafkaFdw::Test->process_gone($victim->pid, $at_once), 'a terminated leader ends at once');
no_workers('a terminate');
$broker->resume;

# A worker that is ended by itself takes the statement with it.
$victim = KafkaFdw::Test->session($node);
freeze($victim);
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity
	WHERE backend_type = 'parallel worker' LIMIT 1});
$victim->finish;
like($victim->stderr, qr/ERROR:  terminating .* due to administrator command/,
	'a terminated worker ends the statement');
no_workers('a terminated worker');
$broker->resume;
$victim->quit;

#----------------------------------------------------------------------
# LIMIT: workers that find nothing do not read on
#----------------------------------------------------------------------

close_gate();
close_gate('leader_gate');
$session->clear;
$session->send('EXPLAIN (ANALYZE, VERBOSE, COSTS OFF) SELECT "offset" FROM t WHERE gate(' . $session->pid . ') LIMIT 1');
wait_for_processes(3, 'PgSleep');
open_gate('leader_gate');
wait_for_processes(1, 'ParallelFinish');
open_gate();
$plan = $session->finish;
@share = $plan =~ /Messages by Process: leader (\d+), worker 0 (\d+), worker 1 (\d+)/;
note "the shares were @share";
cmp_ok($share[1] + $share[2], '>', 0, 'LIMIT: the workers had begun');
cmp_ok($share[1] + $share[2], '<', $rows / 2, 'LIMIT: and stopped');
no_workers('LIMIT');

#----------------------------------------------------------------------
# One end for all scans of a statement
#----------------------------------------------------------------------

close_gate();
$session->clear;
$session->send("SELECT ($gated) = (SELECT count(*) FROM t), ($gated)");
wait_for_processes(3, 'PgSleep');
$node->safe_psql('postgres', q{INSERT INTO t (value) SELECT 'late' FROM generate_series(1, 50)});
open_gate();
is($session->finish, "t|$rows", 'two shared scans of a statement see the same end');
is($session->query('SELECT count(*) FROM t'), $rows + 50, 'the next statement sees more');

#----------------------------------------------------------------------
# What retention takes meanwhile
#----------------------------------------------------------------------

my $cut = KafkaFdw::Test->topic('cut');

create_topic('t_cut', $cut);
close_gate();
$session->clear;
$session->send('SELECT count(*) FROM t_cut WHERE "offset" % 100 > 0 OR gate()');
wait_for_processes(3, 'PgSleep');
$node->safe_psql('postgres', "SELECT kafka_delete_records('$cut', 0, $rows - 100)");
open_gate();
my $counted = $session->finish;
my @lost = $session->stderr =~ /^.*WARNING:  (\d+) offsets of topic "\Q$cut\E" were deleted/mg;

is(scalar @lost, 1, 'lost offsets: one warning') or diag $session->stderr;
is($counted + ($lost[0] // 0), $rows, 'lost offsets: they and the rows are all');
cmp_ok($lost[0] // 0, '>', 0, 'lost offsets: there were some');

#----------------------------------------------------------------------
# Nothing is left behind
#----------------------------------------------------------------------

my @statements = (
	'SELECT count(*) FROM t WHERE "offset" < 500',
	'SELECT "offset" FROM t LIMIT 1',
	'SELECT count(*) FROM t WHERE "offset" < 500 AND 1 / ("offset" - 400) > 5',
	'SELECT n, (SELECT count(*) FROM t WHERE "offset" >= (SELECT 59900 + n)) FROM generate_series(1, 3) n');

$session->query(join '; ', (@statements) x 3);
$session->query('SELECT kafka_disconnect()');
my $before = KafkaFdw::Test->counters($session->pid);
$session->query(join '; ', (@statements) x 15);
$session->query('SELECT kafka_disconnect()');
my $after;
ok(KafkaFdw::Test->wait_until(sub {
	$after = KafkaFdw::Test->counters($session->pid);
	return $after->{threads} <= $before->{threads} && $after->{fds} <= $before->{fds};
}), 'threads and descriptors are as before');
cmp_ok($after->{rss} - $before->{rss}, '<', 8 * 1024, 'memory too');
no_workers('statements');
unlike(slurp_file($node->logfile), qr/was terminated by signal|PANIC|server process .* exited/, 'no process crashed');

$session->quit;
$node->stop;
done_testing();
