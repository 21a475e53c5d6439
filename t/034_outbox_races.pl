# 034_outbox_races.pl
#		A relay ends while a transaction commits that has found it. A lock holds that moment open.
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
is(sql("SELECT string_agg(value, ' ' ORDER BY value) FROM kafka_read('$topic', server => 'kafka')"), 'a b c first found',
	'each message once');

$node->stop;
done_testing();
