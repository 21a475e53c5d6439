# 028_outbox.pl
#		The outbox and its relay: what is committed arrives once and in order, whatever dies.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;
use Time::HiRes qw(time usleep);

my $broker = KafkaFdw::Test->new_broker('outbox');
my $node = KafkaFdw::Test->new_node('outbox', $broker,
	conf => "restart_after_crash = on\nmax_worker_processes = 12\nkafka_fdw.relay_naptime = '60s'");
my $topic = KafkaFdw::Test->topic('outbox');

$node->safe_psql('postgres', qq{
	SELECT kafka_create_topic('$topic', 1, server => 'kafka');
	CREATE FOREIGN TABLE t ("offset" bigint, "timestamp" timestamptz, key text, value text, headers jsonb)
		SERVER kafka OPTIONS (topic '$topic')});

# What has arrived, by offset.
sub arrived
{
	return $node->safe_psql('postgres', 'SELECT value FROM t ORDER BY "offset"');
}

sub wait_for_empty_outbox
{
	$node->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM kafka_outbox)')
	  or die 'the outbox does not become empty: ' . $node->safe_psql('postgres', 'SELECT * FROM kafka_relays');
	return;
}

END { if ($ENV{SHOWLOG} || 1) { open my $f, '<', $node->logfile; my @l = <$f>; splice(@l, 0, @l > 60 ? @l - 60 : 0); open my $o, '>', '/tmp/outbox.log'; print $o @l; } }
my $session = KafkaFdw::Test->session($node);

#----------------------------------------------------------------------
# It starts by itself, and sends what is committed
#----------------------------------------------------------------------

$session->query(qq{BEGIN;
	SELECT kafka_enqueue('$topic', 'one', server => 'kafka');
	SELECT kafka_enqueue('$topic', '\\x74776f'::bytea, '\\x6b'::bytea, headers => '{"h": "1", "n": null}',
		"timestamp" => now(), server => 'kafka');
	SAVEPOINT s;
	SELECT kafka_enqueue('$topic', 'not', server => 'kafka');
	ROLLBACK TO s;
	SELECT kafka_enqueue('$topic', NULL::text, 'gone', server => 'kafka')});
is($session->stderr, '', 'enqueued');
is($node->safe_psql('postgres', 'SELECT count(*) FROM kafka_outbox'), '0', 'nobody else sees it yet');
is($session->query('SELECT count(*) FROM kafka_outbox'), '3', 'the transaction itself does');
$session->query('COMMIT');
is($session->stderr, '', 'committed');
wait_for_empty_outbox();
is(arrived(), "one\ntwo\n", 'committed messages arrive, in order');
is($node->safe_psql('postgres', 'SELECT key, headers FROM t ORDER BY "offset" OFFSET 1'),
	"k|{\"h\": \"1\", \"n\": null}\ngone|{}", 'with their keys and headers');
diag $node->safe_psql('postgres', 'SELECT * FROM kafka_relays');
diag $node->safe_psql('postgres', "SELECT pid, backend_type, state, wait_event FROM pg_stat_activity WHERE backend_type LIKE 'kafka%'");

my $start = time;
$session->query("SELECT kafka_enqueue('$topic', 'quick', server => 'kafka')");
wait_for_empty_outbox();
diag sprintf 'a message took %.3f s', time - $start;

$start = time;
$session->query("SELECT count(kafka_enqueue('$topic', repeat('x', 100), server => 'kafka')) FROM generate_series(1, 100000)");
diag sprintf 'enqueue 100000 took %.3f s', time - $start;
$start = time;
wait_for_empty_outbox();
diag sprintf 'drain took %.3f s', time - $start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM t'), '100004', 'many');

$session->quit;
done_testing();
