# t/050_differential.pl
#		A condition that is pushed down never changes a result.
#
# Random queries run over foreign tables and over local copies of them, and give the same rows in
# the same order: conditions of every form that is pushed down, nested, and of forms that are not;
# with constants, with parameters under a generic plan, with values from joins, sub-selects and
# LATERAL; in the order of the offsets, both ways, with LIMIT. The topics have an empty partition,
# unordered timestamps, aborted and open transactions, and deleted records.
#
# A failure prints the seed, with which it can be run again:
#	KAFKA_FDW_SEED=... KAFKA_FDW_QUERIES=2000 prove -I t/lib t/050_differential.pl
use strict;
use warnings;

use File::Basename qw(dirname);
use IPC::Run;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $bootstrap = $ENV{KAFKA_BOOTSTRAP} // 'localhost:9092';
my $seed = $ENV{KAFKA_FDW_SEED} // (time ^ ($$ << 8)) % 1_000_000_000;
my $nqueries = $ENV{KAFKA_FDW_QUERIES} // 400;
my $run = sprintf 'differential.%d.%d', time, $$;

note "KAFKA_FDW_SEED=$seed";
srand $seed;

#----------------------------------------------------------------------
# Random conditions
#----------------------------------------------------------------------

# What a condition is made for: prefix of its columns, relation whose columns may be values, and the
# parameters that it has used so far (a reference to a list of [type, value], or undef).
our ($columns, $outer, $params);

sub pick
{
	return $_[ int rand @_ ];
}

# True in one of so many cases.
sub one_in
{
	return rand(shift) < 1;
}

# A value as a literal, as a parameter, or in disguise.
sub value
{
	my ($type, $text) = @_;
	my $literal = defined $text ? "'$text'::$type" : "NULL::$type";

	if ($params && one_in(2))
	{
		push @$params, [ $type, $literal ];
		return '$' . @$params;
	}
	return $literal if $type =~ /\[\]$/;
	return "(SELECT $literal)" if one_in(15);
	return "(SELECT max($literal) FROM few)" if one_in(25);
	return $text if defined $text && $type =~ /int$/ && $text >= 0 && $text < 1000 && one_in(2);
	return $literal;
}

# A number in any type that can hold it.
sub number_value
{
	my ($number) = @_;
	my @types = ('bigint');

	return value('bigint', undef) unless defined $number;
	return value('numeric', pick($number, "$number.0", "$number.5")) if one_in(6);
	push @types, 'int' if abs($number) < 2_000_000_000;
	push @types, 'smallint' if abs($number) < 30_000;
	return value(pick(@types), $number);
}

sub partition_number
{
	return undef if one_in(40);
	return one_in(20) ? pick(-1, 7, 32767, 5_000_000_000) : int rand 5;
}

sub offset_number
{
	return undef if one_in(40);
	return -2 + int rand 130 unless one_in(20);
	return pick('-9223372036854775808', '9223372036854775807', 2147483648, -1, '1000000000000000');
}

sub partition_value
{
	my $number = partition_number();

	return "$outer.p" if $outer && one_in(2);
	return number_value($number);
}

sub offset_value
{
	my $number = offset_number();

	return pick("$outer.o", "$outer.o + 1", "$outer.o / 2") if $outer && one_in(2);
	return number_value($number);
}

# Most are those of messages, a millisecond off, or between two milliseconds.
sub time_value
{
	return pick("$outer.ts", "$outer.ts - interval '3 s'") if $outer && one_in(2);
	return value('timestamptz', undef) if one_in(40);
	return value('timestamptz', pick('infinity', '-infinity', '1969-12-31', '4000-01-01'))
	  if one_in(15);
	return pick('now()', "now() - interval '1 year'", 'current_date') if one_in(15);
	return value('date', pick('2026-03-01', '2026-03-02', 'infinity', '290000-01-01'))
	  if one_in(15);

	my $text = sprintf '2026-03-01 12:%02d:%02d%s', int rand 3, int rand 60,
	  pick('', '', '.001', '.0005', '.999999');
	return one_in(8) ? value('timestamp', $text) : value('timestamptz', "$text+00");
}

sub operator
{
	return pick('=', '=', '<', '<=', '>', '>=', one_in(3) ? '<>' : '=');
}

sub array_value
{
	my ($number) = @_;
	my @numbers = map { $number->() // 'NULL' } 1 .. int rand 6;
	my $type = (grep { $_ ne 'NULL' && abs($_) > 2_000_000_000 } @numbers) ? 'bigint[]'
	  : pick('bigint[]', 'int[]');

	@numbers = grep { $_ ne 'NULL' } @numbers unless one_in(8);
	return value($type, undef) if one_in(40);
	return value($type, '{' . join(',', @numbers) . '}');
}

# A column and how its values are made.
my %dimension = (
	partition => [ 'partition', \&partition_value, \&partition_number ],
	offset => [ '"offset"', \&offset_value, \&offset_number ],
	timestamp => [ '"timestamp"', \&time_value, undef ]);

sub column
{
	my ($name) = @_;

	return $columns . $dimension{$name}[0];
}

# Conditions that bound what has to be read.
sub bounding_leaf
{
	my $name = pick('partition', 'partition', 'offset', 'offset', 'offset', 'timestamp');
	my (undef, $value, $number) = @{ $dimension{$name} };
	my $column = column($name);
	my $form = int rand 14;

	if ($form < 5)
	{
		return join ' ', $column, operator(), $value->();
	}
	elsif ($form == 5)
	{
		return join ' ', $value->(), operator(), $column;
	}
	elsif ($form == 6)
	{
		return join ' ', $column, pick('', '', 'NOT'), 'BETWEEN', pick('', '', 'SYMMETRIC'),
		  $value->(), 'AND', $value->();
	}
	elsif ($form == 7)
	{
		return join '', $column, pick(' IN (', ' IN (', ' NOT IN ('),
		  join(', ', map { $value->() } 0 .. int rand 4), ')';
	}
	elsif ($form == 8 && $number)
	{
		return join ' ', $column, operator(), pick('ANY', 'ANY', 'ALL'),
		  '(' . array_value($number) . ')';
	}
	elsif ($form == 9)
	{
		my @names = pick([qw(partition offset)], [qw(offset partition)], [qw(partition timestamp)],
			[qw(timestamp offset)], [qw(partition offset timestamp)]);
		my (@left, @right);

		foreach my $part (@{ $names[0] })
		{
			push @left, column($part);
			push @right, $dimension{$part}[1]->();
			# A pair may stand the other way round, and a column that is not pushed may follow.
			($left[-1], $right[-1]) = ($right[-1], $left[-1]) if one_in(10);
		}
		if (one_in(5))
		{
			push @left, "${columns}key";
			push @right, "'k" . int(rand 10) . "'";
		}
		return sprintf '(%s) %s (%s)', join(', ', @left), pick('<', '<=', '>', '>=', '='),
		  join(', ', @right);
	}
	elsif ($form == 10)
	{
		return "$column IS " . pick('NULL', 'NOT NULL');
	}
	elsif ($form == 11)
	{
		my $given = $value->();

		return "($given IS NULL OR $column " . operator() . " $given)";
	}
	elsif ($form == 12)
	{
		return sprintf '(%s %s %s) IS %s', $column, operator(), $value->(),
		  pick('TRUE', 'NOT TRUE', 'FALSE', 'NOT FALSE', 'UNKNOWN');
	}
	return join ' ', $column, operator(), $value->();
}

# Conditions that do not, or only in part.
sub filtering_leaf
{
	return pick(
		"${columns}key = 'k" . int(rand 10) . "'",
		"${columns}key IS NULL",
		"${columns}value LIKE '%" . int(rand 10) . "'",
		column('offset') . ' % 3 = ' . int(rand 3),
		column('offset') . ' > ' . column('partition') . ' * 20',
		column('partition') . ' IS DISTINCT FROM ' . partition_value(),
		column('offset') . ' IS NOT DISTINCT FROM ' . offset_value(),
		column('partition') . ' + 0 = ' . partition_value(),
		'(' . value('int', int rand 3) . ') = 1',
		sprintf('CASE WHEN %s THEN %s ELSE %s END', map { bounding_leaf() } 1 .. 3),
		'EXISTS (SELECT FROM few f WHERE f.o = ' . column('offset') . ')',
		column('offset') . ' IN (SELECT o FROM few)');
}

sub condition
{
	my ($depth) = @_;

	if ($depth == 0 || one_in(4))
	{
		return one_in(6) ? filtering_leaf() : bounding_leaf();
	}
	return 'NOT (' . condition($depth - 1) . ')' if one_in(7);
	return '('
	  . join(pick(' AND ', ' OR '), map { condition($depth - 1) } 0 .. 1 + int rand 2) . ')';
}

#----------------------------------------------------------------------
# Random queries: each is a template with %s where the table goes
#----------------------------------------------------------------------

my $all_columns = join ', ', map { "t.$_" } qw(partition "offset" "timestamp" key value);

sub escape
{
	my ($text) = @_;

	$text =~ s/%/%%/g;
	return $text;
}

sub plain_query
{
	return sprintf 'SELECT %s FROM %%s t WHERE %s ORDER BY 1, 2', $all_columns,
	  escape(condition(3));
}

# Where the partition is fixed, in the order of the offsets.
sub ordered_query
{
	my $partition = value('int', int rand 4);
	my $limit = one_in(3) ? '' : ' LIMIT ' . int rand 12;

	$limit .= ' OFFSET ' . int rand 5 if one_in(4);
	return sprintf 'SELECT %s FROM %%s t WHERE t.partition = %s AND %s'
	  . ' ORDER BY %st."offset" %s%s%s', $all_columns, $partition, escape(condition(2)), pick('', 't.partition, '),
	  pick('', 'ASC', 'DESC', 'DESC'), pick('', '', ' NULLS FIRST', ' NULLS LAST'), $limit;
}

sub aggregate_query
{
	my $partition = one_in(2) ? 'true' : 't.partition = ' . int rand 4;

	return sprintf 'SELECT count(*), min(t."offset"), max(t."offset"), max(t.value) FROM %%s t'
	  . ' WHERE %s AND %s', $partition, escape(condition(2));
}

sub extreme_query
{
	return sprintf 'SELECT %s(t."offset") FROM %%s t WHERE t.partition = %d AND %s',
	  pick('min', 'max'), int rand 4, escape(condition(1));
}

sub join_query
{
	local $outer = 's';

	return sprintf 'SELECT s.id, %s FROM few s %s JOIN %%s t ON %s AND %s ORDER BY 1, 2, 3',
	  $all_columns, pick('', 'LEFT'), escape(bounding_leaf()), escape(condition(1));
}

# Values from two relations at once.
sub double_join_query
{
	my @conditions;

	foreach my $alias ('s', 's2')
	{
		local $outer = $alias;
		push @conditions, bounding_leaf();
	}
	return sprintf 'SELECT s.id, s2.id, %s FROM few s, few s2, %%s t'
	  . ' WHERE s.id < 4 AND s2.id > 3 AND t.partition = s.p AND %s ORDER BY 1, 2, 3, 4',
	  $all_columns, escape(join ' AND ', @conditions);
}

sub correlated_query
{
	local $outer = 's';

	return sprintf 'SELECT s.id, (SELECT %s FROM %%s t WHERE %s) FROM few s ORDER BY 1',
	  pick('count(*)', 'max(t.value)', 'sum(t."offset")'), escape(condition(2));
}

sub lateral_query
{
	local $outer = 's';

	return sprintf 'SELECT s.id, x.* FROM few s, LATERAL (SELECT %s FROM %%s t'
	  . ' WHERE t.partition = s.p AND %s ORDER BY t."offset" %s LIMIT %d) x ORDER BY 1, 2, 3',
	  $all_columns, escape(condition(1)), pick('', 'DESC'), int rand 4;
}

sub self_join_query
{
	return sprintf 'SELECT t.partition, t."offset", u."offset" FROM %%s t JOIN %%1$s u'
	  . ' ON t.partition = u.partition AND u."offset" %s t."offset" + %d'
	  . ' WHERE %s ORDER BY 1, 2, 3', pick('=', '>'), int rand 90, escape(condition(1));
}

#----------------------------------------------------------------------
# Topics, tables, copies
#----------------------------------------------------------------------

# t/tools/ktxn, from where it was built already or from a copy that can be written to.
sub build_ktxn
{
	my $tools = dirname(__FILE__) . '/tools';
	my $copy = "$PostgreSQL::Test::Utils::tmp_check/tools";
	my $log;

	return "$tools/ktxn" if -x "$tools/ktxn";
	IPC::Run::run([ 'cp', '-r', $tools, $copy ], '>&', \$log)
	  && IPC::Run::run([ 'make', '-s', '-C', $copy, 'ktxn' ], '>&', \$log)
	  or die "could not build ktxn: $log";
	return "$copy/ktxn";
}

my $node = PostgreSQL::Test::Cluster->new('differential');
$node->init;
$node->append_conf('postgresql.conf', "timezone = 'Europe/Berlin'\njit = off\n");
$node->start;
# The messages' timestamps lie in the past: retention would take them away.
my $for_ever = '{"retention.ms": "-1"}';
$node->safe_psql('postgres', qq{
	CREATE EXTENSION kafka_fdw;
	CREATE SERVER kafka FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers '$bootstrap');
	SELECT setseed(@{[ ($seed % 1000) / 1000 ]});
	SELECT kafka_create_topic('$run.mixed', 4, config => '$for_ever');
	SELECT kafka_create_topic('$run.ordered', 4, config => '$for_ever');
	SELECT kafka_create_topic('$run.gaps', 4, config => '$for_ever');});

# Partition 3 stays empty.
my $shape = 'partition int, "offset" bigint, "timestamp" timestamptz, key text, value text';
$node->safe_psql('postgres', qq{
	CREATE FOREIGN TABLE mixed ($shape)
		SERVER kafka OPTIONS (topic '$run.mixed', max_timestamp_skew '20s');
	CREATE FOREIGN TABLE ordered ($shape)
		SERVER kafka OPTIONS (topic '$run.ordered', timestamp_ordered 'true');
	INSERT INTO mixed (partition, "timestamp", key, value)
		SELECT p, '2026-03-01 12:00+00'::timestamptz + o * interval '1.1 s'
			   - floor(random() * 10000) * interval '1 ms',
			   CASE WHEN random() < 0.9 THEN 'k' || o % 10 END, 'v' || o
		FROM generate_series(0, 2) p, generate_series(0, 120 - p * 30) o ORDER BY o;
	INSERT INTO ordered (partition, "timestamp", key, value)
		SELECT p, '2026-03-01 12:00+00'::timestamptz + (o / 3) * interval '3 s',
			   CASE WHEN random() < 0.9 THEN 'k' || o % 10 END, 'v' || o
		FROM generate_series(0, 2) p, generate_series(0, 120 - p * 30) o ORDER BY o;});

# Committed and aborted transactions by turns, one left open; then the first records are deleted.
# For a reader of what is committed the open one ends the partition.
my $ktxn = build_ktxn();
my @commands;
my $committed = 0;
foreach my $i (0 .. 19)
{
	my $partition = $i % 3;
	my $count = 1 + int rand 9;
	my $commit = $i % 4 != 1;

	push @commands, 'begin', "fill $run.gaps $partition $count t$i", $commit ? 'commit' : 'abort';
	$committed += $count if $commit;
}
push @commands, 'begin', "fill $run.gaps 2 5 open", 'quit';
my ($answers, $log) = ('', '');
IPC::Run::run([ $ktxn, $bootstrap, "$run.ktxn" ],
	'<', \join('', map { "$_\n" } @commands), '>', \$answers, '2>', \$log)
  && $answers !~ /error/
  or die "ktxn failed: $log$answers";
$node->safe_psql('postgres', qq{
	CREATE FOREIGN TABLE gaps ($shape) SERVER kafka OPTIONS (topic '$run.gaps');
	CREATE FOREIGN TABLE uncommitted ($shape)
		SERVER kafka OPTIONS (topic '$run.gaps', isolation_level 'read_uncommitted');
	CREATE FOREIGN TABLE bounded (partition smallint, "offset" bigint, "timestamp" timestamptz,
								  key text, value text)
		SERVER kafka OPTIONS (topic '$run.mixed',
							  start_offset '{"0": 20, "1": "-30"}',
							  end_offset '{"0": 100, "2": 40}');});
is($node->safe_psql('postgres', 'SELECT count(*) FROM gaps'),
	$committed, 'all that was committed is there');
$node->safe_psql('postgres', qq{SELECT kafka_delete_records('$run.gaps', 0, 6)});

my @tables = qw(mixed ordered gaps uncommitted bounded);
$node->safe_psql('postgres', "CREATE TABLE copy_$_ AS SELECT * FROM $_; ANALYZE copy_$_")
  foreach @tables;
is($node->safe_psql('postgres', "SELECT count(*) FROM copy_$_"), 273, "messages of topic $_")
  foreach qw(mixed ordered);
cmp_ok($node->safe_psql('postgres', 'SELECT min("offset") FROM copy_gaps WHERE partition = 0'),
	'>=', 6, 'deleted records are gone');
is($node->safe_psql('postgres', q{SELECT count(*) FROM copy_uncommitted WHERE value LIKE 'open%'}),
	5, 'an open transaction is there for who reads what is not committed');
$node->safe_psql('postgres', q{
	CREATE TABLE few AS SELECT g AS id, nullif(g % 5, 4) AS p, (g * 7) % 60 AS o,
		'2026-03-01 12:00+00'::timestamptz + g * interval '13 s' AS ts FROM generate_series(1, 5) g;
	INSERT INTO few VALUES (6, NULL, 3, NULL), (7, 1, NULL, '2026-03-01 12:01+00');
	ANALYZE few;});

#----------------------------------------------------------------------
# The comparison
#----------------------------------------------------------------------

# One session runs all of it: for each query what EXPLAIN says, then both answers, each under a line
# that can be found again.
my $script = "\\set ON_ERROR_STOP off\nSET statement_timeout = '10min';\n";
my @queries;
foreach my $i (1 .. $nqueries)
{
	my $table = pick(@tables);
	my $type = pick(\&plain_query, \&plain_query, \&plain_query, \&ordered_query, \&ordered_query,
		\&aggregate_query, \&extreme_query, \&join_query, \&join_query, \&double_join_query,
		\&correlated_query, \&lateral_query, \&self_join_query);
	my @given;
	my @settings;

	($columns, $outer, $params) = ('t.', undef, one_in(2) ? \@given : undef);
	my $template = $type->();
	push @settings, "enable_$_ = off"
	  foreach grep { one_in(3) } qw(hashjoin mergejoin material memoize nestloop sort);
	push @settings, 'plan_cache_mode = ' . pick(qw(force_generic_plan force_custom_plan));
	push @settings, "timezone = '" . pick('UTC', 'Asia/Kolkata', 'America/New_York') . "'";

	$script .= join '', map { "SET $_;\n" } @settings;
	my %statement;
	foreach my $source ($table, "copy_$table")
	{
		my $query = sprintf $template =~ s/%s/%1\$s/gr, $source;

		$statement{$source} = $query;
		if (@given)
		{
			$script .= sprintf "PREPARE q(%s) AS %s;\n", join(', ', map { $_->[0] } @given), $query;
			$query = sprintf 'EXECUTE q(%s)', join(', ', map { $_->[1] } @given);
		}
		$script .= "\\echo == $i explain\nEXPLAIN (COSTS OFF) $query;\n" if $source eq $table;
		$script .= "\\echo == $i $source\n$query;\n";
		$script .= "DEALLOCATE q;\n" if @given;
	}
	$script .= "RESET ALL;\nSET statement_timeout = '10min';\n";
	push @queries,
	  {
		table => $table,
		text => join("\n", (map { "SET $_;" } @settings), $statement{$table} . ';',
			@given ? 'with ' . join(', ', map { $_->[1] } @given) : ())
	  };
}
$script .= "\\echo == end\n";

my $output;
my @command = ('psql', '-XAtq', '-P', 'null=<null>', '-d', $node->connstr('postgres'));
my $status = IPC::Run::run(\@command, '<', \$script, '>&', \$output);
ok($status && $output =~ /^== end$/m, 'the session went through to its end')
  or diag $node->safe_psql('postgres', 'SELECT 1'), substr($output, -2000);

my %answer;
while ($output =~ /^== (\d+) (\w+)\n(.*?)(?=^== )/msg)
{
	$answer{$1}{$2} = $3;
}

my ($pushed, $failed, $errors, $rows) = (0, 0, 0, 0);
foreach my $i (1 .. $nqueries)
{
	my $query = $queries[ $i - 1 ];
	my ($explain, $foreign, $local) =
	  @{ $answer{$i} }{ 'explain', $query->{table}, "copy_$query->{table}" };

	# psql names a line of the script, which differs.
	s/^psql:.*?: //mg, s/^LINE.*\n.*\n//mg foreach grep { defined } $foreign, $local;
	$pushed++ if defined $explain && $explain =~ /Kafka Ranges: (?!all: \[earliest, snapshot\)$)/m;
	if (defined $foreign && $foreign =~ /^(ERROR.*)/m)
	{
		diag "query $i of KAFKA_FDW_SEED=$seed: $1\n$query->{text}" if ++$errors <= 3;
	}
	$rows++ if defined $foreign && $foreign ne '';
	next if defined $foreign && defined $local && $foreign eq $local;
	next if ++$failed > 3;
	diag "query $i of KAFKA_FDW_SEED=$seed\n$query->{text}\n", $explain // '(no plan)',
	  "\nforeign:\n", $foreign // '(nothing)', "\nlocal:\n", $local // '(nothing)';
}
is($failed, 0, "$nqueries queries give the same rows as the local copies (seed $seed)");
is($errors, 0, 'none of them is an error');
note "$pushed of $nqueries were pushed down in part, $rows gave rows";
cmp_ok($pushed, '>', $nqueries / 3, 'many of the conditions were pushed down');
cmp_ok($rows, '>', $nqueries / 3, 'many of the queries gave rows');

$node->safe_psql('postgres', "SELECT kafka_delete_topic('$run.$_')") foreach qw(mixed ordered gaps);
$node->stop;
done_testing();
