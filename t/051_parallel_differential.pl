# t/051_parallel_differential.pl
#		A scan that is shared among processes returns each message once, however many they are.
#
# Random queries run twice: by one process, and by as many as chance has it, with and without the
# leader's help, with fewer workers than the plan asks for, down to none. Partitions are one to
# twelve, long enough to be cut up and empty ones; with aborted transactions and one that is open,
# compaction's gaps, deleted records.
#
# A failure prints the seed, with which it can be run again:
#	KAFKA_FDW_SEED=... KAFKA_FDW_QUERIES=1000 prove -I t/lib t/051_parallel_differential.pl
use strict;
use warnings;

use IPC::Run;
use KafkaFdw::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{KAFKA_FDW_SEED} // (time ^ ($$ << 8)) % 1_000_000_000;
my $nqueries = $ENV{KAFKA_FDW_QUERIES} // 60;

note "KAFKA_FDW_SEED=$seed";
srand $seed;

sub pick
{
	return $_[ int rand @_ ];
}

# True in one of so many cases.
sub one_in
{
	return rand(shift) < 1;
}

#----------------------------------------------------------------------
# Topics
#----------------------------------------------------------------------

my $node = KafkaFdw::Test->new_node('parallel', undef,
	conf => "jit = off\nmax_worker_processes = 20\nmax_parallel_workers = 12\n");
my $txn = KafkaFdw::Test->tool('ktxn', KafkaFdw::Test->bootstrap, KafkaFdw::Test->topic('txn'));
my $plain = KafkaFdw::Test->tool('ktxn', KafkaFdw::Test->bootstrap, '-');

# The highest offset and the number of partitions of each table.
my %shape = (
	one => [ 90_000, 1 ],
	five => [ 60_000, 5 ],
	twelve => [ 3000, 12 ],
	compacted => [ 50_000, 2 ],
	uncommitted => [ 90_000, 1 ]);
my %topic = map { $_ => KafkaFdw::Test->topic($_) } qw(one five twelve compacted);

sub create_table
{
	my ($table, $topic, $options) = @_;

	$options = $options ? ", $options" : '';
	$node->safe_psql('postgres', qq{
		CREATE FOREIGN TABLE $table (partition int, "offset" bigint, "timestamp" timestamptz, key text,
			value text) SERVER kafka OPTIONS (topic '$topic'$options)});
	return;
}

my $compaction = '"cleanup.policy": "compact", "segment.ms": 100, "max.compaction.lag.ms": 100,
	"min.compaction.lag.ms": 0, "min.cleanable.dirty.ratio": 0.01';

foreach my $table (sort keys %topic)
{
	my $config = $table eq 'compacted' ? "{$compaction}" : '{}';

	$node->safe_psql('postgres',
		"SELECT kafka_create_topic('$topic{$table}', $shape{$table}[1], config => '$config')");
	create_table($table, $topic{$table});
}
create_table('uncommitted', $topic{one}, "isolation_level 'read_uncommitted'");

# Transactions, some aborted, each longer than a piece. An open one ends the topic for others.
foreach my $i (0 .. 15)
{
	$txn->ok('begin');
	$txn->ok("fill $topic{one} 0 5000 t$i");
	$txn->ok($i % 3 == 1 ? 'abort' : 'commit');
}
$txn->ok('begin');
$txn->ok("fill $topic{one} 0 3000 open");

# Partition 3 stays empty.
$plain->ok("fill $topic{five} $_->[0] $_->[1] v") foreach [ 0, 60_000 ], [ 1, 25_000 ], [ 2, 700 ], [ 4, 1 ];
$node->safe_psql('postgres', "SELECT kafka_delete_records('$topic{five}', 0, 15000)");
$node->safe_psql('postgres', q{INSERT INTO twelve (partition, value)
	SELECT g % 12, 'v' || g FROM generate_series(1, 24000) g});

# Of 25,000 messages in each partition a few are left, far apart. A segment is compacted when it is
# no longer the last one, which takes a message after its time.
$node->safe_psql('postgres', q{INSERT INTO compacted (partition, key, value)
	SELECT g % 2, CASE WHEN g % 9000 < 2 THEN 'k' || g ELSE 'same' END, 'v' || g
	FROM generate_series(0, 49999) g});
my $rolls = 0;
ok(KafkaFdw::Test->wait_until(sub {
	$rolls++;
	$node->safe_psql('postgres', "INSERT INTO compacted (partition, key, value)
		SELECT p, 'roll $rolls', 'x' FROM generate_series(0, 1) p");
	return $node->safe_psql('postgres', q{SELECT count(*) FROM compacted WHERE key = 'same'}) <= 2;
}), 'compacted');

# Without statistics a hash join is believed to cost more than 80,000 look-ups, which take minutes.
$node->safe_psql('postgres', q{
	CREATE TABLE few AS SELECT g AS id, g % 3 AS p, g * 7001 AS o FROM generate_series(0, 3) g;
	ANALYZE few, one, five, twelve, compacted, uncommitted});

#----------------------------------------------------------------------
# Queries
#----------------------------------------------------------------------

my ($table, $max, $npartitions);

sub offset_value
{
	return int rand $max * 1.1 unless one_in(4);
	return pick(0, 1, 5000, 5001, 15000, $max - 1, $max);
}

sub condition
{
	my $form = int rand 11;

	return 'true' if $form < 3;
	return 'partition = ' . int rand $npartitions if $form == 3;
	return 'partition IN (' . join(', ', map { int rand $npartitions } 0 .. 2) . ')' if $form == 4;
	return '"offset" ' . pick('<', '>=') . ' ' . offset_value() if $form == 5;
	return sprintf '"offset" BETWEEN %d AND %d', offset_value(), offset_value() if $form == 6;
	return '"offset" IN (' . join(', ', map { offset_value() } 0 .. 12) . ')' if $form == 7;
	return sprintf '("offset" < %d OR "offset" >= %d)', offset_value(), offset_value() if $form == 8;
	return '"offset" > (SELECT max(o) FROM few)' if $form == 9;
	return '"offset" % 1000 = ' . int rand 1000;
}

# What is returned says which messages were seen, and how often.
my $sums = 'count(*), sum("offset"), min("offset"), max("offset"), sum(length(value))';

# A template with %s where the table goes; the rows of each are in an order.
sub query
{
	my $where = condition() . ' AND ' . condition();
	my $form = int rand 7;

	$where =~ s/%/%%/g;
	return "SELECT $sums FROM %s WHERE $where" if $form < 2;
	return "SELECT partition, $sums FROM %s WHERE $where GROUP BY 1 ORDER BY 1" if $form == 2;
	return q{SELECT md5(string_agg(partition || ':' || "offset" || '=' || value, ',' ORDER BY partition,
		"offset")) FROM %s WHERE } . $where
	  if $form == 3;
	return qq{SELECT count(*), sum("offset") FROM %1\$s a JOIN %1\$s b USING (partition, "offset") WHERE $where}
	  if $form == 4;
	# A Gather that is read once for each row of another table.
	return qq{SELECT id, x.* FROM few LEFT JOIN (SELECT $sums FROM %s WHERE $where) x ON x.count >= id ORDER BY 1}
	  if $form == 5;
	# The same with ranges that change: the value is an InitPlan's.
	return qq{SELECT id, (SELECT count(*) || ':' || sum("offset") FROM %s WHERE $where AND "offset" >= (SELECT o)
		AND partition <> (SELECT p + 1)) FROM few ORDER BY 1};
}

my $alone = 'SET max_parallel_workers_per_gather = 0;';
my $forced = 'SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;';
my $script = "\\set ON_ERROR_STOP off\nSET statement_timeout = '10min';\n";
my @queries;

foreach my $i (1 .. $nqueries)
{
	$table = pick(sort keys %shape);
	($max, $npartitions) = @{ $shape{$table} };

	my $query = sprintf query() =~ s/%s/%1\$s/gr, $table;
	my @settings = (
		'max_parallel_workers_per_gather = ' . (1 + int rand 4),
		'max_parallel_workers = ' . pick(0, 1, 2, 4, 12, 12, 12),
		'parallel_leader_participation = ' . pick('on', 'on', 'off'));

	my @off = grep { one_in(3) } qw(material hashjoin parallel_hash mergejoin hashagg);

	# A nested loop looks 55,000 messages up, one after another, which takes minutes on a busy machine.
	@off = grep { $_ ne 'hashjoin' } @off if grep { $_ eq 'mergejoin' } @off;
	push @settings, map { "enable_$_ = off" } @off;
	my $settings = join ' ', map { "SET $_;" } @settings;

	$script .= "$alone\n\\echo == $i alone\n$query;\nRESET max_parallel_workers_per_gather;\n"
	  . "$forced $settings\n\\echo == $i explain\nEXPLAIN (COSTS OFF) $query;\n"
	  . "\\echo == $i shared\n$query;\nRESET ALL;\nSET statement_timeout = '10min';\n";
	push @queries, "$settings\n$query;";
}
$script .= "\\echo == end\n";

my $output;
my @command = ('psql', '-XAtq', '-P', 'null=<null>', '-d', $node->connstr('postgres'));
my $status = IPC::Run::run(\@command, '<', \$script, '>&', \$output);

ok($status && $output =~ /^== end$/m, 'the session went through to its end')
  or diag substr($output, -2000);

my %answer;
while ($output =~ /^== (\d+) (\w+)\n(.*?)(?=^== )/msg)
{
	$answer{$1}{$2} = $3;
}

my ($shared, $failed, $errors) = (0, 0, 0);
foreach my $i (1 .. $nqueries)
{
	my ($expected, $got, $plan) = map { $_ // 'none' } @{ $answer{$i} }{qw(alone shared explain)};

	$shared++ if $plan =~ /Parallel Foreign Scan/;
	diag "query $i: $expected$got" if "$expected$got" =~ /ERROR|WARNING|none/ && ++$errors <= 3;
	next if $expected eq $got;
	next if ++$failed > 3;
	diag "query $i of KAFKA_FDW_SEED=$seed\n$queries[$i - 1]\n${plan}alone:\n${expected}shared:\n$got";
}
is($failed, 0, "$nqueries queries return the same by one process and by several (seed $seed)");
is($errors, 0, 'and without errors');
cmp_ok($shared, '>', $nqueries * 0.6, "most of them were shared ($shared)");

$txn->ok('abort');
$node->stop;
done_testing();
