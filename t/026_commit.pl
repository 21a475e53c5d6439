# 026_commit.pl
#		Delivery "commit" with what SQL alone cannot show: a frozen and a dead broker at COMMIT, a
#		transaction that fails after its messages were sent, PREPARE TRANSACTION, sessions that die.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;
use Time::HiRes qw(time);

# A wait that is not answered ends after 30 s; a busy machine may take some tenths.
my $at_once = 5;

my $broker = KafkaFdw::Test->new_broker('commit');
my $node = KafkaFdw::Test->new_node('commit', $broker, conf => "max_prepared_transactions = 5\nrestart_after_crash = on\nwal_level = replica\nmax_wal_senders = 2");
my $topic = KafkaFdw::Test->topic('commit');

KafkaFdw::Test->create_server($node, 'impatient', $broker, "commit_timeout '2s'");
$node->safe_psql('postgres', qq{
	SELECT kafka_create_topic('$topic', 1, server => 'kafka');
	CREATE TABLE witness (value text PRIMARY KEY)});

my $session = KafkaFdw::Test->session($node, set => { VERBOSITY => 'verbose' });

# How often a value is in the topic, and in the table.
sub found
{
	my ($value) = @_;

	return $node->safe_psql('postgres', qq{
		SELECT (SELECT count(*) FROM kafka_read('$topic', max_messages => 100000, server => 'kafka') WHERE value = '$value') || ' ' ||
			(SELECT count(*) FROM witness WHERE value = '$value')});
}

# A transaction that is open, with a row in the table and the same held for the topic.
sub begin_with
{
	my ($value, %options) = @_;
	my $begin = $options{begin} // 'BEGIN';
	my $server = $options{server} // 'kafka';

	$session->query(qq{
		$begin;
		INSERT INTO witness VALUES ('$value');
		SELECT kafka_send_on_commit('$topic', '$value', server => '$server')});
	is($session->stderr, '', "$value: held");
	return;
}

begin_with('sent');
$session->query('COMMIT');
is(found('sent'), '1 1', 'a commit sends');

#----------------------------------------------------------------------
# A broker that does not answer
#----------------------------------------------------------------------

begin_with('cancelled');
$broker->pause;
$session->send('COMMIT');
$session->wait_until_waiting;
my $start = time;
$session->cancel;
$session->finish;
cmp_ok(time - $start, '<', $at_once, 'frozen: Ctrl-C is answered at once');
my $error = $session->stderr;
like($error, qr/ERROR:  57014: canceling statement due to user request/, 'frozen: the commit is cancelled');
like($error, qr/CONTEXT:  sending to topic "\Q$topic\E": the message (may be|is not) stored\n.*held until the transaction commits/,
	'frozen: the outcome is said');
$broker->resume;
is($session->query('SELECT count(*) FROM kafka_connections WHERE in_use'), '0',
	'frozen: no producer is left in use');
like(found('cancelled'), qr/^[01] 0$/, 'frozen: the transaction is rolled back');

# message_timeout_ms is 30 s, and statement_timeout does not reach a commit.
$session->query("SET statement_timeout = '100ms'");
begin_with('timed out', server => 'impatient');
$broker->pause;
$start = time;
$session->query('COMMIT');
cmp_ok(time - $start, '<', 15, 'commit_timeout bounds the wait');
$error = $session->stderr;
like($error, qr/ERROR:  08(006|007|001): .*the message (may be|is not) stored/, 'commit_timeout: the outcome is said');
$broker->resume;
$session->query('RESET statement_timeout');
like(found('timed out'), qr/^[01] 0$/, 'commit_timeout: the transaction is rolled back');

# Several messages, of which some may have got through.
$session->query(qq{BEGIN; INSERT INTO witness VALUES ('many');
	SELECT count(kafka_send_on_commit('$topic', 'many', server => 'kafka')) FROM generate_series(1, 5000)});
$broker->kill;
$session->send('COMMIT');
$session->wait_until_waiting;
$session->cancel;
$session->finish;
$error = $session->stderr;
like($error, qr/rows sent: \d+; stored: 0, may be stored: \d+, not stored: \d+|is not stored|could not connect/i,
	'dead: the outcome is said');
$broker->start;
is(found('many') =~ s/^\d+ //r, '0', 'dead: the transaction is rolled back');
begin_with('afterwards');
$session->query('COMMIT');
is($session->stderr, '', 'started again: the session commits');
is(found('afterwards'), '1 1', 'started again: and sends');

#----------------------------------------------------------------------
# What fails after the messages were sent
#----------------------------------------------------------------------

# Two serializable transactions, each of which writes what the other has read.
my $other = KafkaFdw::Test->session($node);

$other->query(q{BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM witness; INSERT INTO witness VALUES ('other')});
begin_with('unlucky', begin => 'BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM witness');
$other->query('COMMIT');
is($other->stderr, '', 'serializable: the first one commits');
$session->query('COMMIT');
$error = $session->stderr;
like($error, qr/ERROR:  40001:/, 'serializable: the second one fails');
like($error, qr/WARNING:  01000: 1 message was sent to Kafka by a transaction that failed to commit/,
	'serializable: and says that its message was sent');
is(found('unlucky'), '1 0', 'serializable: which is true: the window that the manual describes');

# Between the acknowledgement and the commit record: NOTIFY waits there for the commit of another one, which
# waits for a standby that there is not.
sub stop_between
{
	my ($value) = @_;
	my $notifier = KafkaFdw::Test->session($node);

	$node->append_conf('postgresql.conf', "synchronous_standby_names = 'nobody'");
	$node->reload;
	$node->poll_query_until('postgres', q{SELECT current_setting('synchronous_standby_names') = 'nobody'})
	  or die 'the setting does not come';
	$session->query('SET synchronous_commit = local');
	begin_with($value);
	$session->query('NOTIFY unheard');

	# A commit waits once the checkpointer, too, has read the setting, which no query shows.
	for my $try (1 .. 1000)
	{
		$notifier->send("BEGIN; SELECT pg_logical_emit_message(true, '', ''); NOTIFY unheard; COMMIT /* $try */");
		waits_for($notifier, "wait_event = 'SyncRep' OR state = 'idle' AND query LIKE 'COMMIT /* $try */%'");
		last if $node->safe_psql('postgres', activity($notifier, q(state <> 'idle'))) eq 't';
	}
	waits_for($notifier, q(wait_event = 'SyncRep'));
	$session->send('COMMIT');
	waits_for($session, q(wait_event = 'object'));
	return $notifier;
}

sub activity
{
	my ($who, $condition) = @_;

	return "SELECT $condition FROM pg_stat_activity WHERE pid = " . $who->pid;
}

sub waits_for
{
	my ($who, $condition) = @_;

	$node->poll_query_until('postgres', activity($who, $condition)) or die "it does not come to: $condition";
	return;
}

sub go_on
{
	$node->append_conf('postgresql.conf', "synchronous_standby_names = ''");
	$node->reload;
	return;
}

my $notifier = stop_between('notified');
$session->cancel;
$session->finish;
$error = $session->stderr;
like($error, qr/ERROR:  57014:/, 'NOTIFY: what fails after the messages were acknowledged');
like($error, qr/WARNING:  01000: 1 message was sent to Kafka by a transaction that failed to commit/, 'NOTIFY: says so');
is(found('notified'), '1 0', 'NOTIFY: the second window');
go_on();
$notifier->finish;
$notifier->quit;

$notifier = stop_between('crashed');
KafkaFdw::Test->kill_process($node, $session->pid);
go_on();
is(found('crashed'), '1 0', 'crashed: the third window');
$session = KafkaFdw::Test->session($node, set => { VERBOSITY => 'verbose' });
$other = KafkaFdw::Test->session($node);

#----------------------------------------------------------------------
# Prepared transactions, and sessions that end
#----------------------------------------------------------------------

begin_with('prepared');
$session->query("PREPARE TRANSACTION 'p'");
like($session->stderr, qr/ERROR:  0A000: cannot PREPARE a transaction that holds messages for Kafka/,
	'PREPARE TRANSACTION is refused');
is(found('prepared'), '0 0', 'and rolled back');
$session->query(qq{BEGIN; INSERT INTO witness VALUES ('prepared again'); SAVEPOINT s;
	SELECT kafka_send_on_commit('$topic', 'prepared again', server => 'kafka'); ROLLBACK TO s;
	PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'});
is($session->stderr, '', 'nor refused where nothing is held any more');
is(found('prepared again'), '0 1', 'which is then prepared and committed');

begin_with('terminated');
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . $session->pid . ')');
ok(KafkaFdw::Test->process_gone($session->pid, 30), 'a session with held messages ends');
is(found('terminated'), '0 0', 'and sends nothing');

my $killed = KafkaFdw::Test->session($node);

$killed->query(qq{BEGIN; INSERT INTO witness VALUES ('killed');
	SELECT kafka_send_on_commit('$topic', 'killed', server => 'kafka')});
KafkaFdw::Test->kill_process($node, $killed->pid);
is(found('killed'), '0 0', 'a session that is killed sends nothing');

# kafka_fdw.mode counts when the transaction commits, too.
$session = KafkaFdw::Test->session($node, set => { VERBOSITY => 'verbose' });
begin_with('forbidden');
$node->append_conf('postgresql.conf', "kafka_fdw.mode = 'read_only'");
$node->reload;
$node->poll_query_until('postgres', q{SELECT current_setting('kafka_fdw.mode') = 'read_only' FROM kafka_disconnect()})
  or die 'the setting does not come';
$session->query('SELECT 1');
$session->query('COMMIT');
like($session->stderr, qr/ERROR:  55000: cannot execute COMMIT while "kafka_fdw.mode" is "read_only"/,
	'a mode that has changed refuses the commit');
$node->append_conf('postgresql.conf', "kafka_fdw.mode = 'on'");
$node->reload;
is(found('forbidden'), '0 0', 'and nothing is sent');

$session->quit;
$other->quit;
done_testing();
