# 034_outbox_races.pl
#		Moments that locks hold open: a relay ends while a transaction commits that has found it; a batch is
#		in Kafka, but not yet known to be, and another relay's transaction hides that.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;

my $broker = KafkaFdw::Test->new_broker('races');
my $node = KafkaFdw::Test->new_node('races', $broker,
	conf => "max_worker_processes = 16\nkafka_fdw.relay_naptime = '60s'");
my $topic = KafkaFdw::Test->topic('races');
my $writer = KafkaFdw::Test->session($node);
my $locker = KafkaFdw::Test->session($node);

KafkaFdw::Test->create_server($node, $_, $broker) foreach qw(second third);

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub enqueue { return "SELECT kafka_enqueue('$topic', '$_[1]', server => '$_[0]');"; }

sub wait_for_empty_outbox
{
	return KafkaFdw::Test->becomes_true($node, 'SELECT NOT EXISTS (SELECT FROM kafka_outbox)',
		"the outbox becomes empty: $_[0]", 'kafka_relays');
}

sql("SELECT kafka_create_topic('$topic', 1, server => 'kafka')");

# The first message starts the relay, the second finds it.
foreach my $value (qw(first found))
{
	$writer->query(enqueue('kafka', $value));
	wait_for_empty_outbox($value);
}
my $pid = sql(q{SELECT pid FROM kafka_relays WHERE server = 'kafka'});

# The session knows the relay of "kafka", waits as it looks for that of "second", and then looks for that of "third".
$locker->query('BEGIN; LOCK TABLE kafka_relay');
$writer->send('BEGIN;' . enqueue('kafka', 'a') . enqueue('second', 'b') . enqueue('third', 'c') . 'COMMIT');
$node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = " . $writer->pid)
  or die 'the commit does not wait';
kill 'TERM', $pid;
ok(KafkaFdw::Test->process_gone($pid, 30), 'a relay ends while a transaction commits');
$locker->query('COMMIT');
$writer->finish;
is($writer->stderr, '', 'which it does');
wait_for_empty_outbox('another relay sends');
KafkaFdw::Test->settle($node, $topic);
is(sql("SELECT string_agg(value, ' ' ORDER BY value) FROM kafka_read('$topic', server => 'kafka')"), 'a b c first found',
	'each message once');

#----------------------------------------------------------------------
# What became of a batch is behind a transaction that is open
#----------------------------------------------------------------------

sub relay { return sql("SELECT $_[0] FROM kafka_relays WHERE server = 'kafka'"); }

# It has sent the batch, and waits as it is about to write that down; there it fails. Meanwhile somebody else,
# as another relay does, has a transaction in the control topic, which begins before that of the batch.
sql(q{CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN PERFORM pg_catalog.pg_advisory_xact_lock(1); RETURN NEW; END';
	CREATE TRIGGER hold BEFORE UPDATE ON kafka_relay_progress FOR EACH ROW
		WHEN (NEW.sent > OLD.sent) EXECUTE FUNCTION hold()});
$locker->query('SELECT pg_advisory_lock(1)');
my $other = KafkaFdw::Test->tool('ktxn', $broker->bootstrap, KafkaFdw::Test->topic('other'));
$other->ok($_) foreach 'begin', 'send _kafka_fdw_relay 0 other open';
$writer->query(enqueue('kafka', 'in doubt'));
$pid = relay('pid');
KafkaFdw::Test->becomes_true($node, "SELECT count(*) = 1 FROM pg_locks WHERE pid = $pid AND locktype = 'advisory' AND NOT granted",
	'a batch is sent', 'kafka_relays');
sql("SELECT pg_cancel_backend($pid)");
KafkaFdw::Test->becomes_true($node, q{SELECT last_error LIKE 'canceling%' FROM kafka_relays WHERE server = 'kafka'},
	'and it is not written down', 'kafka_relays');
$locker->query('SELECT pg_advisory_unlock(1)');
KafkaFdw::Test->becomes_true($node, q{SELECT last_error LIKE 'could not learn whether%open transaction%' OR waiting = 0
	FROM kafka_relays WHERE server = 'kafka'}, 'the relay looks what became of it', 'kafka_relays');
is(relay('state, waiting'), 'waiting|1', 'cannot see it, and waits');
$other->ok('commit');
wait_for_empty_outbox('when it can');
KafkaFdw::Test->settle($node, $topic);
is(sql("SELECT count(*) FROM kafka_read('$topic', server => 'kafka') WHERE value = 'in doubt'"), '1', 'it was sent once');
$other->quit;

#----------------------------------------------------------------------
# A relay that runs is asked to start
#----------------------------------------------------------------------

sql("SELECT kafka_relay_start('kafka')");
KafkaFdw::Test->becomes_true($node, "SELECT state = 'running' FROM kafka_relays WHERE server = 'kafka'",
	'the view says that it runs', 'kafka_relays');

$node->stop;
done_testing();
