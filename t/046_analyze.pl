# t/046_analyze.pl
#		ANALYZE of topics that are too large to be read whole, or have gaps: what it reads is bounded,
#		and what it finds is near the truth. It can be cancelled, and names what it cannot read.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;
use Time::HiRes qw(time);

my $node = KafkaFdw::Test->new_node('main');
my $bootstrap = KafkaFdw::Test->bootstrap;
# What takes longer is not cancelled, nor refused in time.
my $at_once = 20;
my $plain = KafkaFdw::Test->tool('ktxn', $bootstrap, '-');

# A topic with a foreign table of the same name.
sub make_table
{
	my ($name, $partitions, $options) = @_;
	my $topic = KafkaFdw::Test->topic($name);

	$node->safe_psql('postgres', qq{
		SELECT kafka_create_topic('$topic', $partitions, config => '{"retention.ms": -1}');
		CREATE FOREIGN TABLE $name (partition int, "offset" bigint, key text, value text)
			SERVER kafka OPTIONS (topic '$topic'@{[$options // '']})});
	return $topic;
}

# Analyze a table; what it says of that, and the number of rows that it takes the table to have.
sub analyze
{
	my ($table, $setup) = @_;
	my ($status, $stdout, $stderr) = $node->psql('postgres',
		join '; ', $setup // (), "ANALYZE VERBOSE $table",
		"SELECT reltuples::bigint FROM pg_class WHERE relname = '$table'");
	my ($read, $places, $sample) =
	  $stderr =~ /(\d+) of them read in (\d+) places; (\d+) rows in sample/;

	note($stderr);
	return { error => $stderr, rows => $stdout, read => $read, places => $places,
		sample => $sample };
}

# True where a number is this, give or take some percent.
sub about
{
	my ($got, $wanted, $percent, $name) = @_;

	return ok(abs($got - $wanted) <= $wanted * $percent / 100, "$name: $got, about $wanted");
}

# The first and last value of a histogram of offsets.
sub bounds
{
	my ($table) = @_;

	return split / /, $node->safe_psql('postgres', qq{
		SELECT b[1] || ' ' || b[array_upper(b, 1)]
		FROM (SELECT histogram_bounds::text::bigint[] AS b FROM pg_stats
			WHERE tablename = '$table' AND attname = 'offset') s});
}

# ---- Large: 3 million messages, of which a place gives some hundred. (What is read beside them was
# fetched together with them.)

my $topic = make_table('large', 3);
$plain->ok("fill $topic $_ 1000000 p$_") for 0 .. 2;
my $found = analyze('large');
is($found->{rows}, 3000000, 'as many rows as there are messages');
cmp_ok($found->{sample}, '>=', 25000, 'a full sample');
cmp_ok($found->{places}, '>=', 30, 'from many places');
cmp_ok($found->{read}, '<', 1000000, 'without reading it all');
my ($first, $last) = bounds('large');
cmp_ok($first, '<', 100, 'from the beginning of the topic');
cmp_ok($last, '>', 999900, 'to its end');
is($node->safe_psql('postgres', q{SELECT n_distinct || ' ' || correlation FROM pg_stats
	WHERE tablename = 'large' AND attname = 'partition'}), '3 1', 'rows are in the order of the log');
is($node->safe_psql('postgres', q{SELECT n_distinct FROM pg_stats
	WHERE tablename = 'large' AND attname = 'value'}), -1, 'no value is in it twice');
$found = analyze('large', 'SET default_statistics_target = 1');
is($found->{rows}, 3000000, 'from a small sample, too');
is($found->{sample}, 300, 'which is as small as it was asked to be');

# A piece of it, and the last so many, which are not counted one by one.
$node->safe_psql('postgres',
	q{ALTER FOREIGN TABLE large OPTIONS (ADD start_offset '{"0": 400000, "1": "newest"}')});
is(analyze('large')->{rows}, 1600000, 'from where the table starts');
$node->safe_psql('postgres', q{ALTER FOREIGN TABLE large OPTIONS (SET start_offset '-900000')});
$found = analyze('large');
is($found->{rows}, 2700000, 'the last messages');
cmp_ok($found->{read}, '<', 1000000, 'are not counted one by one');

# ---- Gaps: a million aborted messages between others, and half a million behind them

my $txn = KafkaFdw::Test->tool('ktxn', $bootstrap, KafkaFdw::Test->topic('txn'));

sub aborted
{
	my ($partition, $count) = @_;

	$txn->ok('begin');
	$txn->ok("fill $topic $partition $count aborted");
	$txn->ok('abort');
	KafkaFdw::Test->settle($node, $topic);
	return;
}

$topic = make_table('gaps', 2);
$plain->ok("fill $topic 0 200000 before");
aborted(0, 1000000);
$plain->ok("fill $topic 0 200000 after");
$plain->ok("fill $topic 1 500000 before");
aborted(1, 500000);
$found = analyze('gaps');
about($found->{rows}, 900000, 30, 'rows with gaps between them');
cmp_ok($found->{read}, '<', 450000, 'without reading them all');
about($node->safe_psql('postgres', q{
	SELECT most_common_freqs[array_position(most_common_vals::text::int[], 1)]
	FROM pg_stats WHERE tablename = 'gaps' AND attname = 'partition'}), 5 / 9, 30,
	'the share of a partition');
$node->safe_psql('postgres', q{ALTER FOREIGN TABLE gaps OPTIONS (ADD isolation_level 'read_uncommitted')});
about(analyze('gaps')->{rows}, 2400000, 5, 'read_uncommitted sees what is in the gaps');

# Little between much of nothing: it is found, and read whole.
$topic = make_table('desert', 1);
foreach (1 .. 3)
{
	$plain->ok("fill $topic 0 100 value");
	aborted(0, 500000);
}
$plain->ok("fill $topic 0 7 value");
is(analyze('desert')->{rows}, 307, 'few rows in many offsets');

# ---- Large values: neither all are read, nor does memory hold many

$topic = make_table('wide', 2);
my $value = 'x' x 500_000;
foreach my $i (0 .. 399)
{
	$plain->ok("fill $topic " . $i % 2 . " 1 $value");
}
my $session = KafkaFdw::Test->session($node);
$session->query('ANALYZE large');
my $before = KafkaFdw::Test->counters($session->pid)->{rss};
$session->query('ANALYZE VERBOSE wide');
like($session->stderr, qr/ [1-9]\d{0,2} rows in sample/, 'a part of large values');
my ($sample) = $session->stderr =~ / (\d+) rows in sample/;
cmp_ok($sample, '<=', 140, "of 200 MB: $sample rows of half a MB");
cmp_ok(KafkaFdw::Test->counters($session->pid)->{rss} - $before, '<', 150_000,
	'are held in memory, and less afterwards');
is($node->safe_psql('postgres', q{SELECT reltuples FROM pg_class WHERE relname = 'wide'}), '400',
	'but the number of rows is known');
about($node->safe_psql('postgres', q{SELECT avg_width FROM pg_stats
	WHERE tablename = 'wide' AND attname = 'value'}), 500_000, 1, 'and their width');

# ---- What cannot be read is named, and what takes long can be cancelled

my $mock = KafkaFdw::Test->tool('kmock', 2);
KafkaFdw::Test->create_server($node, 'mock', $mock->greeting, "metadata_timeout '1min'");
$mock->ok('topic m 3 1');
$mock->ok("leader m $_ " . ($_ % 2 + 1)) for 0 .. 2;
my $filler = KafkaFdw::Test->tool('ktxn', $mock->greeting, '-');
$filler->ok("fill m $_ 100 value") for 0 .. 2;
$node->safe_psql('postgres',
	q{CREATE FOREIGN TABLE m (partition int, "offset" bigint, value text) SERVER mock});
is(analyze('m')->{rows}, 300, 'the mock cluster');
$mock->ok('leader m 1 -1');
$node->safe_psql('postgres', q{ALTER SERVER mock OPTIONS (SET metadata_timeout '1s')});
like(analyze('m')->{error}, qr/ERROR: .* topic "m" partition 1$/m, 'a partition without a leader is named');
$mock->ok('leader m 1 2');
$node->safe_psql('postgres', q{ALTER SERVER mock OPTIONS (SET metadata_timeout '1min')});
is(analyze('m')->{rows}, 300, 'once it has one it is read');

my $broker = KafkaFdw::Test->new_broker('frozen');
KafkaFdw::Test->create_server($node, 'frozen', $broker, "metadata_timeout '10min'");
$node->safe_psql('postgres', q{
	SELECT kafka_create_topic('log', 1, server => 'frozen');
	SELECT kafka_send('log', 'x', server => 'frozen');
	CREATE FOREIGN TABLE frozen_log (value text) SERVER frozen OPTIONS (topic 'log')});
$session->query('ANALYZE frozen_log');
$broker->pause;
$session->send('ANALYZE frozen_log');
$session->wait_until_waiting;
my $start = time;
$session->cancel;
$session->finish;
like($session->stderr, qr/canceling statement due to user request/, 'with a frozen broker it is cancelled');
cmp_ok(time - $start, '<', $at_once, 'at once');
$broker->resume;
is($session->query('ANALYZE frozen_log; SELECT reltuples FROM pg_class WHERE oid = \'frozen_log\'::regclass'),
	'1', 'and works again');
$session->quit;

done_testing();
