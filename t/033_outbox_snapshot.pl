# 033_outbox_snapshot.pl
#		Rows pass through the outbox while an old snapshot is open: the relay sends the last ones as fast as
#		the first, and the tables do not grow. OUTBOX_ROWS says how many (default 60,000).
use strict;
use warnings;

use KafkaFdw::Test;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $rows = $ENV{OUTBOX_ROWS} || 60_000;
my $step = $rows > 1_000_000 ? 100_000 : int($rows / 10);
my $segment = $rows > 1_000_000 ? '64MB' : '1MB';

my $broker = KafkaFdw::Test->new_broker('old_snapshot');
my $node = KafkaFdw::Test->new_node('old_snapshot', $broker,
	conf => "max_worker_processes = 12\nkafka_fdw.outbox_segment_size = '$segment'\nlog_statement = none\n");
my $topic = KafkaFdw::Test->topic('old_snapshot');

$node->safe_psql('postgres', qq{SELECT kafka_create_topic('$topic', 1, server => 'kafka')});

# A transaction that holds everything back that VACUUM would remove: it has a snapshot, and a number too.
my $old = KafkaFdw::Test->session($node);
$old->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
$old->query('CREATE TABLE held AS SELECT count(*) FROM pg_class');

# What the relay's tables take.
sub size
{
	return $node->safe_psql('postgres', q{
		SELECT sum(pg_total_relation_size(oid)) FROM pg_class
		WHERE relname ~ '^kafka_outbox_[0-2]$' OR relname = 'kafka_relay_progress'});
}

sub sent
{
	return $node->safe_psql('postgres', 'SELECT coalesce(sum(sent), 0) FROM kafka_relay_progress');
}

# The processor time of the relay, in ticks.
my $relay;
sub relay_cpu
{
	$relay //= $node->safe_psql('postgres', 'SELECT pid FROM kafka_relays');
	my @stat = split / /, slurp_file("/proc/$relay/stat") =~ s/.*\) //r;
	return $stat[11] + $stat[12];
}

# Store so many at once, and see how fast the relay sends them, and what that costs it.
my (@rates, @cpu, @sizes);
my $stored = 0;
while ($stored < $rows)
{
	$node->safe_psql('postgres', qq{
		SELECT count(kafka_enqueue('$topic', repeat('x', 100), i::text, server => 'kafka'))
		FROM generate_series(1, $step) i});
	my $begun = time;
	$stored += $step;
	KafkaFdw::Test->becomes_true($node, "SELECT coalesce(sum(sent), 0) >= $stored FROM kafka_relay_progress",
		"$stored are sent", 'kafka_relays');
	push @rates, $step / (time - $begun);
	push @cpu, relay_cpu();
	push @sizes, size();
}

sub median
{
	my @sorted = sort { $a <=> $b } @_;
	return $sorted[ $#sorted / 2 ];
}

my $fifth = int(@rates / 5) || 1;
my $first = median(@rates[ 0 .. $fifth - 1 ]);
my $last = median(@rates[ -$fifth .. -1 ]);
note sprintf 'rows a second: the first %.0f, the last %.0f of %d steps', $first, $last, scalar @rates;
my ($first_cpu, $last_cpu) = ($cpu[$fifth] - $cpu[0], $cpu[-1] - $cpu[ -1 - $fifth ]);
note sprintf 'ticks of the relay for %d steps: the first %d, the last %d', $fifth, $first_cpu, $last_cpu;
note sprintf 'the tables take at most %.1f MB, %.1f MB at the end', (sort { $b <=> $a } @sizes)[0] / 2**20, $sizes[-1] / 2**20;
# What else the machine does decides what a second is worth; how many rows are looked at is the same on all.
cmp_ok($last_cpu, '<', 2 * $first_cpu, 'the last rows cost the relay what the first did') if $rows > 1_000_000;
# Three tables, of which one is filled while another one waits to be emptied.
my $limit = $rows > 1_000_000 ? 1024 * 2**20 : 4 * 2**20;
# They are emptied once a second, so quick rows may all be there when the last one is sent.
ok(KafkaFdw::Test->wait_until(sub { return size() < $limit; }), 'the tables do not grow') or diag size();
$node->safe_psql('postgres', q{SELECT kafka_relay_stop('kafka')});
KafkaFdw::Test->becomes_true($node, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'kafka_fdw relay')",
	'the relay ends, which has its last counts reported', 'kafka_relays');
my $looks = $node->safe_psql('postgres', q{
	SELECT sum(idx_tup_fetch + seq_tup_read) FROM pg_stat_user_tables WHERE relname ~ '^kafka_outbox_[0-2]$'});
note "rows were looked at $looks times";
# To be sent, and to be emptied.
cmp_ok($looks, '<', 4 * $rows, 'no row is looked at again and again');
is(sent(), $rows, 'each row is sent once');
KafkaFdw::Test->settle($node, $topic);
is($node->safe_psql('postgres', qq{SELECT count(*) FROM kafka_read('$topic', max_messages => $rows + 1, server => 'kafka')}),
	$rows, 'and is in the topic');
$old->query('COMMIT');
$old->quit;
done_testing();
