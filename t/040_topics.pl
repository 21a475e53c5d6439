# t/040_topics.pl
#		What a scan shows of topics whose offsets are not all messages: transactions committed,
#		aborted and open, markers, compaction, deleted records; and of topics that change meanwhile.
#		Every state is read forward, backward, from each of its ends and between.
use strict;
use warnings;

use KafkaFdw::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = KafkaFdw::Test->new_node('topics');
my $bootstrap = KafkaFdw::Test->bootstrap;
KafkaFdw::Test->create_server($node, 'dirty', undef, "isolation_level 'read_uncommitted'");
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET kafka_fdw.default_server = kafka');

my $plain = KafkaFdw::Test->tool('ktxn', $bootstrap, '-');
my $txn = KafkaFdw::Test->tool('ktxn', $bootstrap, KafkaFdw::Test->topic('txn'));

# A topic made for one test.
sub make_topic
{
	my ($name, $partitions, $config) = @_;
	my $topic = KafkaFdw::Test->topic($name);

	$config //= '{}';
	$node->safe_psql('postgres',
		"SELECT kafka_create_topic('$topic', $partitions, config => '$config')");
	return $topic;
}

# Run statements in one session; the output's lines.
sub lines
{
	my ($sql) = @_;

	return split /\n/, $node->safe_psql('postgres', $sql);
}

# End the open transaction, and wait until readers know.
sub end_transaction
{
	my ($topic, $end) = @_;

	$txn->ok($end);
	KafkaFdw::Test->settle($node, $topic);
	return;
}

# Have a producer make one transaction of some values in partition 0, and end it.
sub transaction
{
	my ($topic, $end, @values) = @_;

	$txn->ok('begin');
	$txn->ok("send $topic 0 k $_") for @values;
	end_transaction($topic, $end);
	return;
}

# Check that partition 0 of a topic shows these offsets, and no others, in every way of reading it.
sub shows
{
	my ($topic, $name, $server, @offsets) = @_;
	my %wanted;
	my @sql = (qq{
		CREATE FOREIGN TABLE shown (partition int, "offset" bigint, value text)
			SERVER $server OPTIONS (topic '$topic', start_offset 'earliest')});
	my $ask = sub {
		my ($what, $query, @rows) = @_;

		push @sql, qq{SELECT '$what: ' || coalesce(string_agg(o::text, ' ' ORDER BY n), '')
			FROM ($query) WITH_O (o, n)};
		$wanted{$what} = join ' ', @rows;
	};
	my $numbered = sub { "SELECT \"offset\", row_number() OVER () FROM ($_[0]) q" };

	$ask->('forward', $numbered->('SELECT * FROM shown'), @offsets);
	$ask->('backward',
		$numbered->('SELECT * FROM shown WHERE partition = 0 ORDER BY "offset" DESC LIMIT 1000000'),
		reverse @offsets);
	$ask->('kafka_read',
		$numbered->("SELECT * FROM kafka_read('$topic', max_messages => NULL, server => '$server')"),
		@offsets);

	# The last so many
	my %counts = map { $_ => 1 } (1, 2, 3, 10, scalar @offsets, @offsets + 1);
	foreach my $n (sort { $a <=> $b } grep { $_ > 0 } keys %counts)
	{
		my @last = @offsets > $n ? @offsets[ -$n .. -1 ] : @offsets;

		push @sql, "ALTER FOREIGN TABLE shown OPTIONS (SET start_offset '-$n')";
		$ask->("last $n", $numbered->('SELECT * FROM shown'), @last);
		$ask->("kafka_last $n",
			$numbered->(qq{SELECT * FROM (SELECT * FROM kafka_last('$topic', $n, '$server'))
				l ORDER BY "offset"}), @last);
	}
	push @sql, "ALTER FOREIGN TABLE shown OPTIONS (SET start_offset 'earliest')";

	# Ranges that begin and end on messages, in gaps, and outside
	my @chosen = @offsets ? @offsets[ 0, @offsets / 2, -1 ] : ();
	my %bounds = map { $_ => 1, $_ + 1 => 1 } (0, @chosen);
	my @bounds = sort { $a <=> $b } keys %bounds;
	foreach my $low (@bounds)
	{
		foreach my $high (grep { $_ >= $low } @bounds)
		{
			my @between = grep { $_ >= $low && $_ < $high } @offsets;

			$ask->("from $low to $high",
				$numbered->(qq{SELECT * FROM shown WHERE "offset" >= $low AND "offset" < $high}),
				@between);
			$ask->("from $high back to $low",
				$numbered->(qq{SELECT * FROM shown WHERE partition = 0 AND "offset" >= $low
					AND "offset" < $high ORDER BY "offset" DESC LIMIT 1000000}),
				reverse @between);
		}
	}
	push @sql, 'DROP FOREIGN TABLE shown';

	my %shown = map { /^(.*?): ?(.*)$/ ? ($1 => $2) : () } lines(join ";\n", @sql);
	is_deeply(\%shown, \%wanted, $name);
	return;
}

# A range of numbers without some.
sub all_but
{
	my ($from, $to, @not) = @_;
	my %not = map { $_ => 1 } @not;

	return grep { !$not{$_} } $from .. $to;
}

# ---- Nothing

my $topic = make_topic('empty', 1);
shows($topic, 'an empty topic', 'kafka');

# ---- Committed: a marker after each transaction takes an offset

$topic = make_topic('committed', 1);
transaction($topic, 'commit', $_) for 1 .. 12;
shows($topic, 'transactions of one message', 'kafka', map { 2 * $_ } 0 .. 11);
transaction($topic, 'commit', 1 .. 5);
shows($topic, 'one of several after them', 'kafka', (map { 2 * $_ } 0 .. 11), 24 .. 28);
$plain->ok("send $topic 0 k last");
shows($topic, 'a message after the last marker', 'kafka', (map { 2 * $_ } 0 .. 11), 24 .. 28, 30);

# ---- Aborted

$topic = make_topic('aborted', 1);
transaction($topic, 'abort', 1 .. 10);
shows($topic, 'nothing but an aborted transaction', 'kafka');
shows($topic, 'which read_uncommitted shows', 'dirty', 0 .. 9);
transaction($topic, 'commit', 1 .. 3);	# 11 to 13, and the marker
shows($topic, 'a committed one after it', 'kafka', 11 .. 13);
foreach my $i (1 .. 4)
{
	$txn->ok('begin');
	$txn->ok("fill $topic 0 500 aborted");
	end_transaction($topic, 'abort');
}
shows($topic, 'two thousand aborted messages after that', 'kafka', 11 .. 13);
transaction($topic, 'commit', 1 .. 2);
my $end = 15 + 4 * 501;
shows($topic, 'and two committed ones at the end', 'kafka', 11 .. 13, $end, $end + 1);
shows($topic, 'all of which read_uncommitted shows', 'dirty',
	all_but(0, $end + 1, 10, 14, map { 15 + $_ * 501 - 1 } 1 .. 4));

# How far back a search for the last messages goes is bounded as any scan is.
my ($rc, $stdout, $stderr) = $node->psql('postgres', "SET kafka_fdw.max_scan_messages = 1000;
	SELECT count(*) FROM kafka_last('$topic', 3)", extra_params => [ '-v', 'VERBOSITY=verbose' ]);
like($stderr, qr/54000: a scan of topic "\Q$topic\E" would read \d+ messages/,
	'the search is refused where it leads too far');
is($node->safe_psql('postgres', "SET kafka_fdw.max_scan_messages = 1000;
	SELECT count(*) FROM kafka_last('$topic', 2)"), '2', 'and not where it does not');

# ---- Markers only, with all messages before them deleted

$topic = make_topic('markers', 1);
transaction($topic, 'commit', 1);
transaction($topic, 'commit', 'a');
is($node->safe_psql('postgres', "SELECT kafka_delete_records('$topic', 0, 3)"), '3', 'all deleted');
shows($topic, 'a marker alone', 'kafka');
shows($topic, 'a marker alone, read_uncommitted', 'dirty');

# ---- An open transaction hides what comes after it

$topic = make_topic('open', 1);
$plain->ok("send $topic 0 k $_") for 0 .. 2;
$txn->ok('begin');
$txn->ok("send $topic 0 k $_") for 3 .. 4;
$plain->ok("send $topic 0 k $_") for 5 .. 6;
shows($topic, 'an open transaction', 'kafka', 0 .. 2);
shows($topic, 'an open transaction, read_uncommitted', 'dirty', 0 .. 6);
$node->safe_psql('postgres', qq{CREATE FOREIGN TABLE open ("offset" bigint) SERVER kafka
	OPTIONS (topic '$topic')});
like($node->safe_psql('postgres', 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT * FROM open'),
	qr/Hidden by Open Transactions: 4$/m, 'EXPLAIN ANALYZE says what is hidden');
$txn->ok('commit');
ok($node->poll_query_until('postgres', 'SELECT max("offset") >= 6 FROM open'), 'it was committed');
shows($topic, 'the transaction committed', 'kafka', 0 .. 6);
unlike($node->safe_psql('postgres', 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT * FROM open'),
	qr/Hidden/, 'nothing is hidden now');
$txn->ok('begin');
$txn->ok("send $topic 0 k $_") for 8 .. 9;
$plain->ok("send $topic 0 k 10");
shows($topic, 'another one open', 'kafka', 0 .. 6);
$txn->ok('abort');
ok($node->poll_query_until('postgres', 'SELECT max("offset") >= 10 FROM open'), 'it was aborted');
shows($topic, 'that one aborted', 'kafka', 0 .. 6, 10);

# A tail waits behind it, and shows what was hidden when it ends. When it has shown what is in the other
# partition it knows where each of them ends.
$topic = make_topic('open_tail', 2);
my $tail = KafkaFdw::Test->session($node, fetch_count => 1);
$node->safe_psql('postgres', qq{CREATE FOREIGN TABLE open_tail ("offset" bigint, value text)
	SERVER kafka OPTIONS (topic '$topic', start_offset '{"0": "newest", "1": -1}', wait_timeout '-1')});
$plain->ok("send $topic 0 k before");
$plain->ok("send $topic 1 k first");
$txn->ok('begin');
$txn->ok("send $topic 0 k hidden");
$tail->send('SELECT value FROM open_tail');
$tail->wait_for(qr/^first$/m);
$tail->wait_until_waiting;
is($tail->stdout, 'first', 'a tail shows nothing of an open transaction');
$txn->ok('commit');
$tail->wait_for(qr/^hidden$/m);
pass('and shows it once it is committed');
$txn->ok('begin');
$txn->ok("send $topic 0 k never");
$txn->ok('abort');
$plain->ok("send $topic 0 k after");
$tail->wait_for(qr/^after$/m);
is($tail->stdout, "first\nhidden\nafter", 'and never an aborted one');
# Between two rows psql asks for the next, and there is nothing to cancel.
$tail->wait_until_waiting;
$tail->cancel;
$tail->wait_for_error(qr/canceling statement/);
$tail->quit;

# ---- Deleted records

$topic = make_topic('deleted', 1);
$plain->ok("fill $topic 0 100 v");
$node->safe_psql('postgres', "SELECT kafka_delete_records('$topic', 0, 60)");
shows($topic, 'deleted records', 'kafka', 60 .. 99);
$node->safe_psql('postgres', "SELECT kafka_delete_records('$topic', 0, 100)");
shows($topic, 'all records deleted: low = high > 0', 'kafka');
$plain->ok("send $topic 0 k v");
shows($topic, 'one after them', 'kafka', 100);

# ---- Compacted: gaps anywhere

$topic = make_topic('compacted', 1, '{"cleanup.policy": "compact", "segment.ms": 100,
	"min.cleanable.dirty.ratio": 0.01, "min.compaction.lag.ms": 0, "max.compaction.lag.ms": 100,
	"delete.retention.ms": 600000}');
foreach my $round (1 .. 20)
{
	$plain->ok("send $topic 0 key$_ $round") for 1 .. 5;
	$plain->ok("send $topic 0 only$round $round");
}
transaction($topic, 'abort', 1 .. 5);
$plain->ok("send $topic 0 gone \\N");

# A segment is compacted when it is no longer the last one, which takes a message after its time. In
# the end each of these keys has its last value alone, and there is nothing more to compact.
my $count = qq{SELECT count(*) FROM kafka_read('$topic', max_messages => NULL)
	WHERE key LIKE 'key%'};
my $rolls = 0;
ok(KafkaFdw::Test->wait_until(sub {
	$plain->ok("send $topic 0 roll" . ++$rolls . ' x');
	return $node->safe_psql('postgres', $count) == 5;
}), 'compacted');
is($node->safe_psql('postgres', qq{SELECT string_agg(key || '=' || value, ' ' ORDER BY "offset")
	FROM kafka_read('$topic', max_messages => NULL) WHERE key LIKE 'key%'}),
	'key1=20 key2=20 key3=20 key4=20 key5=20', 'the last values are left');
my @left = lines(qq{SELECT "offset" FROM kafka_read('$topic', max_messages => NULL)});
is(scalar @left, 5 + 20 + 1 + $rolls, 'and so are keys that came once');
cmp_ok($left[-1] - $left[0] + 1, '>', scalar @left, 'between gaps');
shows($topic, 'a compacted topic', 'kafka', @left);

# ---- More than one partition, and more than the search for the last ones looks at at once

$topic = make_topic('long', 2);
$plain->ok("fill $topic 0 150000 v");
$plain->ok("fill $topic 1 10 v");
$txn->ok('begin');
$txn->ok("fill $topic 0 20000 aborted");
end_transaction($topic, 'abort');
is($node->safe_psql('postgres', qq{SELECT partition, count(*), min("offset"), max("offset")
	FROM kafka_read('$topic', '-140000', max_messages => NULL) GROUP BY 1 ORDER BY 1}),
	"0|140000|10000|149999\n1|10|0|9", 'a long way back');
is($node->safe_psql('postgres', qq{SELECT partition, count(*), min("offset"), max("offset")
	FROM kafka_read('$topic', '{"0": -2, "1": -3}') GROUP BY 1 ORDER BY 1}),
	"0|2|149998|149999\n1|3|7|9", 'each partition its own way back');
$node->safe_psql('postgres', qq{CREATE FOREIGN TABLE long (partition int, "offset" bigint)
	SERVER kafka OPTIONS (topic '$topic')});
is($node->safe_psql('postgres', qq{SELECT count(*), min("offset"), max("offset") FROM
	(SELECT "offset" FROM long WHERE partition = 0 ORDER BY "offset" DESC LIMIT 120000) q}),
	'120000|30000|149999', 'a long way backwards');

# ---- Growing while it is read: the end is where it was when the scan began

my $cursor = KafkaFdw::Test->session($node);
$cursor->query('BEGIN; DECLARE c CURSOR FOR SELECT "offset" FROM long');
like($cursor->query('FETCH 1 FROM c'), qr/^\d+$/, 'a scan has begun');
$plain->ok("fill $topic 0 5000 later");
$plain->ok("fill $topic 1 5000 later");
is(scalar(split /\n/, $cursor->query('FETCH ALL FROM c')), 150009, 'and does not see what comes');
$cursor->query('COMMIT');
is($cursor->query('SELECT count(*) FROM long'), '160010', 'the next one does');

# Two scans of one statement see the same end, however long the first takes.
$cursor->query('BEGIN; DECLARE c CURSOR FOR SELECT count(*) OVER (), * FROM
	(SELECT a.n, (SELECT count(*) FROM long) FROM (SELECT count(*) AS n FROM long) a) q');
is($cursor->query('FETCH ALL FROM c'), '1|160010|160010', 'two scans, one end');
$cursor->query('COMMIT');

# ---- Deleted while it is read: what is gone is counted

$cursor->query('BEGIN; DECLARE c CURSOR FOR SELECT "offset" FROM long WHERE partition = 0');
is($cursor->query('FETCH 10 FROM c'), join("\n", 0 .. 9), 'a scan has begun');
$node->safe_psql('postgres', "SELECT kafka_delete_records('$topic', 0, 140000)");
my @rows = split /\n/, $cursor->query('FETCH ALL FROM c');
like($cursor->stderr, qr/WARNING:  (\d+) offsets of topic "\Q$topic\E" were deleted/, 'a warning');
my ($lost) = $cursor->stderr =~ /WARNING:  (\d+)/;
is(10 + @rows + $lost, 150000 + 5000, 'which counts what is missing');
is(scalar(() = $cursor->stderr =~ /WARNING/g), 1, 'once');
is($rows[-1], 150000 + 20000 + 1 + 5000 - 1, 'and the scan goes on to its end');
is(join(' ', map { $rows[$_] <= $rows[ $_ - 1 ] ? $rows[$_] : () } 1 .. $#rows), '', 'in order');
$cursor->query('COMMIT');
$cursor->quit;

# ---- Partitions that are added are seen by the next scan

$node->safe_psql('postgres', "SELECT kafka_add_partitions('$topic', 3)");
$plain->quit;
$plain = KafkaFdw::Test->tool('ktxn', $bootstrap, '-');
$plain->ok("send $topic 2 k v");
is($node->safe_psql('postgres', 'SELECT count(*) FROM long WHERE partition = 2'), '1',
	'a partition that was added');

$plain->quit;
$txn->quit;
$node->stop;
done_testing();
