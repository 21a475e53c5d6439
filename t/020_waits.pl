# Every wait ends when it is told to: by statement_timeout, a cancel, a terminate, the postmaster's
# death; with a broker that is frozen, in each of the things that a session can be waiting for. And
# what was interrupted leaves a session that works as soon as the broker does.
use strict;
use warnings;

use KafkaFdw::Test;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# What "at once" may cost on a machine that is busy with other things. The point is that it ends:
# nothing below would by itself, the timeouts being ten minutes.
my $at_once = 60;

my $broker = KafkaFdw::Test->new_broker('frozen');
my $node = KafkaFdw::Test->new_node('waits', $broker,
	server_options => "metadata_timeout '10min', message_timeout_ms '10min'");
my $topic = KafkaFdw::Test->topic('waits');

$node->safe_psql('postgres', qq{
	SELECT kafka_create_topic('$topic', 2);
	CREATE FOREIGN TABLE t (partition int, "offset" bigint, value text)
		SERVER kafka OPTIONS (topic '$topic');
	CREATE FOREIGN TABLE tail (partition int, "offset" bigint, value text)
		SERVER kafka OPTIONS (topic '$topic', start_offset 'newest', wait_timeout '-1');
	INSERT INTO t (value) SELECT repeat('x', 1000) || g FROM generate_series(1, 20000) g;
});

# What a session can wait for: a name; what the session does before the broker is frozen; the
# statement that then waits.
my @waits = (
	[ 'connect', '', 'SELECT count(*) FROM t' ],
	[ 'metadata', 'SELECT count(*) FROM t WHERE partition = 0 AND "offset" < 10',
		'SELECT count(*) FROM t' ],
	[ 'read', 'BEGIN; DECLARE c CURSOR FOR SELECT * FROM t; FETCH 10 FROM c', 'FETCH ALL FROM c' ],
	[ 'tail', '', 'SELECT * FROM tail' ],
	[ 'connect to send', '', "SELECT kafka_send('$topic', 'x')" ],
	[ 'send', "SELECT kafka_send('$topic', 'x')", "SELECT kafka_send('$topic', 'x')" ],
	[ 'insert', "INSERT INTO t (value) VALUES ('x')",
		"INSERT INTO t (value) SELECT repeat('x', 1000) FROM generate_series(1, 100000)" ],
	[ 'create topic', "SELECT count(*) FROM kafka_last('$topic', 1)",
		"SELECT kafka_create_topic('$topic.new')" ],
	[ 'partitions', 'SELECT count(*) FROM kafka_partitions()', 'SELECT * FROM kafka_partitions()' ],
	[ 'groups', 'SELECT count(*) FROM kafka_groups()', 'SELECT * FROM kafka_groups()' ],
	[ 'set config', '', "SELECT kafka_set_topic_config('$topic', '{}')" ],
	[ 'import', '', 'IMPORT FOREIGN SCHEMA kafka FROM SERVER kafka INTO pg_temp' ],
);

# A session that has got ready for a wait, and the broker frozen under it.
sub frozen_session
{
	my ($ready) = @_;
	my $session = KafkaFdw::Test->session($node);

	$session->query($ready) if $ready;
	is($session->stderr, '', 'ready') if $session->stderr;
	$broker->pause;
	return $session;
}

foreach my $case (@waits)
{
	my ($name, $ready, $statement) = @$case;
	my ($session, $start);

	# statement_timeout
	$session = frozen_session($ready);
	$start = time;
	$session->query("SET statement_timeout = '200ms';\n$statement");
	cmp_ok(time - $start, '<', $at_once, "$name: statement_timeout is answered at once");
	like($session->stderr, qr/canceling statement due to statement timeout/,
		"$name: statement_timeout is answered");

	# The same session goes on when the broker does.
	$broker->resume;
	$session->query('ROLLBACK; RESET statement_timeout');
	is($session->query('SELECT count(*) > 0 FROM t'), 't', "$name: the session can read again");
	like($session->query("SELECT kafka_send('$topic', 'after')"), qr/^\d+$/,
		"$name: the session can send again");
	$session->quit;

	# Ctrl-C, which is what pg_cancel_backend does too
	$session = frozen_session($ready);
	$session->send($statement);
	$session->wait_until_waiting;
	$start = time;
	$session->cancel;
	$session->wait_for_error(qr/canceling statement due to user request/);
	cmp_ok(time - $start, '<', $at_once, "$name: Ctrl-C is answered at once");
	$session->query('ROLLBACK');

	# pg_terminate_backend, and quitting, of a session that was interrupted
	$session->send($statement);
	$session->wait_until_waiting if $ready !~ /BEGIN/;
	$start = time;
	$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . $session->pid . ')');
	ok(KafkaFdw::Test->process_gone($session->pid), "$name: a terminate is answered");
	cmp_ok(time - $start, '<', $at_once, "$name: a terminate is answered at once");
	$broker->resume;
	$session->quit;
}

# A change of the cluster is under way when its caller is interrupted, who would take it for undone.
# One that was never sent is undone.
foreach my $case (
	[ 'SELECT count(*) FROM kafka_topics()', qr/^CONTEXT:  changing Kafka server "kafka", which may carry the change out/m ],
	[ '', undef ])
{
	my ($ready, $context) = @$case;
	my $session = frozen_session($ready);
	my $name = $ready ? 'an interrupted change' : 'a change that nobody heard of';

	$session->send("SELECT kafka_delete_topic('$topic.none')");
	$session->wait_until_waiting;
	$session->cancel;
	$session->finish;
	like($session->stderr, qr/canceling statement due to user request/, "$name is interrupted");
	like($session->stderr, $context, "$name may be made all the same") if $context;
	unlike($session->stderr, qr/CONTEXT/, "$name is not made") unless $context;
	$broker->resume;
	$session->quit;
}

# A backend that ends while librdkafka is at work must not end in a crash.
unlike(slurp_file($node->logfile), qr/terminated by signal|exited with exit code [^01]/,
	'no backend crashed');
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'the server runs');

# Postmaster death: the backends that wait for Kafka go with it.
my @sessions;

foreach my $case (@waits)
{
	my ($name, $ready, $statement) = @$case;
	my $session = KafkaFdw::Test->session($node);

	$session->query($ready) if $ready;
	push @sessions, [ $name, $session, $statement ];
}
$broker->pause;
$_->[1]->send($_->[2]) foreach @sessions;
$_->[1]->wait_until_waiting foreach @sessions;

my $start = time;

$node->kill9;
ok(KafkaFdw::Test->process_gone($_->[1]->pid), "$_->[0]: the backend ends with the postmaster") foreach @sessions;
cmp_ok(time - $start, '<', $at_once, 'all at once');
note(sprintf 'the last of %d backends was gone %.3f s after the postmaster', scalar @sessions,
	time - $start);
$broker->resume;

done_testing();
