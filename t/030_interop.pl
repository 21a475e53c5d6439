# t/030_interop.pl
#		kafka_fdw and Kafka's three Go clients understand each other.
#
# IBM/sarama, segmentio/kafka-go and confluentinc/confluent-kafka-go write what SQL reads, and read
# what SQL writes: every codec, keys, values and headers that are null, empty and binary,
# timestamps, partitions given and chosen by key, the newest offset as it is tailed. They sit behind
# one program, t/interop, which exchanges messages as lines of JSON. INTEROP_BIN names it where it
# is built already.
use strict;
use warnings;
use utf8;

use Cwd qw(abs_path);
use Digest::MD5 qw(md5_hex);
use Encode qw(encode_utf8);
use File::Basename qw(dirname);
use File::Spec;
use IPC::Run;
use JSON::PP;
use MIME::Base64 qw(encode_base64 decode_base64);
use Time::HiRes qw(time);

use KafkaFdw::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @clients = qw(sarama kafka-go confluent);
my @codecs = qw(none gzip snappy lz4 zstd);
my $patience = $PostgreSQL::Test::Utils::timeout_default;
my $json = JSON::PP->new->utf8->canonical;
my $interop = interop_program();
my $bootstrap = KafkaFdw::Test->bootstrap;

#----------------------------------------------------------------------
# The program
#----------------------------------------------------------------------

# A Go that can build the program; the clients ask for 1.19.
sub find_go
{
	foreach my $go ($ENV{GO}, (map { "$_/go" } File::Spec->path), '/usr/local/go/bin/go',
		reverse sort glob('/usr/lib/go-*/bin/go'))
	{
		next unless defined $go && -x $go && !-d _;
		my ($major, $minor) = `"$go" version` =~ / go(\d+)\.(\d+)/ or next;
		return $go if $major > 1 || $minor >= 19;
	}
	return;
}

# The program's path; builds it, unless INTEROP_BIN has it. A machine without Go skips the test, but
# not where it has to count.
sub interop_program
{
	if (my $given = $ENV{INTEROP_BIN})
	{
		die "INTEROP_BIN is no program: $given" unless -x $given;
		return $given;
	}

	my $go = find_go();
	if (!$go)
	{
		die 'no Go 1.19 or later to build t/interop with' if $ENV{CI};
		plan skip_all => 'no Go 1.19 or later to build t/interop with';
	}

	# Caches beside the program, for a user whose home cannot be written to.
	my $program = "$PostgreSQL::Test::Utils::tmp_check/interop";
	local %ENV = %ENV;
	$ENV{GOFLAGS} = join ' ', $ENV{GOFLAGS} // (), '-buildvcs=false', '-modcacherw';
	if (!defined $ENV{HOME} || !-w $ENV{HOME})
	{
		$ENV{HOME} = "$PostgreSQL::Test::Utils::tmp_check/go";
		mkdir $ENV{HOME};
		delete @ENV{qw(GOCACHE GOPATH GOMODCACHE XDG_CACHE_HOME XDG_CONFIG_HOME)};
	}
	my $log;
	IPC::Run::run([ $go, 'build', '-o', $program, '.' ], '>&', \$log,
		init => sub { chdir dirname(abs_path(__FILE__)) . '/interop' or die "chdir: $!" })
	  or die "could not build t/interop: $log";
	return $program;
}

sub command_line
{
	my ($client, $command, @arguments) = @_;

	return [ $interop, '-client', $client, '-bootstrap', $bootstrap, $command,
		'-timeout', "${patience}s", @arguments ];
}

sub decode_lines
{
	my ($text) = @_;

	return map { $json->decode($_) } split /\n/, $text;
}

# Run the program to its end; returns what it printed, decoded.
sub interop
{
	my ($client, $command, $arguments, @input) = @_;
	my $input = join '', map { $json->encode($_) . "\n" } @input;
	my ($output, $error);

	IPC::Run::run(command_line($client, $command, @$arguments),
		'<', \$input, '>', \$output, '2>', \$error, IPC::Run::timeout(2 * $patience))
	  or die "$client could not $command: $error";
	return decode_lines($output);
}

# Messages for a client to write; returns them with the places they went to.
sub client_produce
{
	my ($client, $topic, $arguments, @messages) = @_;
	my @places = interop($client, 'produce', [ '-topic', $topic, @$arguments ],
		map { for_client($_) } @messages);

	die 'places and messages differ in number' unless @places == @messages;
	return map { { %{ $messages[$_] }, %{ $places[$_] } } } 0 .. $#messages;
}

# What a client reads of a topic from its oldest message to its end.
sub client_consume
{
	my ($client, $topic, @arguments) = @_;
	my ($ready, @messages) = map { from_client($_) }
	  interop($client, 'consume', [ '-topic', $topic, '-from', 'oldest', @arguments ]);

	return @messages;
}

#----------------------------------------------------------------------
# Messages
#
# A hash of partition, offset, timestamp (ms since 1970), key, value, headers. Keys and values are
# strings of bytes or undef; headers are pairs of a name (characters) and a value as those.
#----------------------------------------------------------------------

sub base64
{
	my ($bytes) = @_;

	return defined $bytes ? encode_base64($bytes, '') : undef;
}

sub unbase64
{
	my ($text) = @_;

	return defined $text ? decode_base64($text) : undef;
}

# As the program's JSON lines have them, and as SQL is made to show them here.
sub for_client
{
	my ($m) = @_;
	my $out = {
		key => base64($m->{key}),
		value => base64($m->{value}),
		headers => [ map { { name => $_->[0], value => base64($_->[1]) } } @{ $m->{headers} } ],
	};

	foreach my $field (qw(partition timestamp))
	{
		$out->{$field} = $m->{$field} + 0 if defined $m->{$field};
	}
	return $out;
}

sub from_client
{
	my ($m) = @_;

	return {
		%$m,
		key => unbase64($m->{key}),
		value => unbase64($m->{value}),
		headers => [ map { [ $_->{name}, unbase64($_->{value}) ] } @{ $m->{headers} } ],
	};
}

# Bytes as a failed comparison can print them.
sub printable
{
	my ($bytes) = @_;

	return $bytes unless defined $bytes;
	return sprintf '%d bytes, %s', length $bytes, md5_hex($bytes) if length $bytes > 300;
	return $bytes =~ s/([^ -~]|\\)/sprintf '\\x%02x', ord $1/ger;
}

# Messages ready to be compared, in the order of their places. Where a message was written without a
# timestamp, that one is not compared; the caller says so by leaving it out of those expected.
sub comparable
{
	return [
		map {
			{
				place => "$_->{partition}:$_->{offset}",
				timestamp => $_->{timestamp},
				key => printable($_->{key}),
				value => printable($_->{value}),
				headers => [ map { [ map { printable($_) } encode_utf8($_->[0]), $_->[1] ] }
					  @{ $_->{headers} } ],
			}
		} sort { $a->{partition} <=> $b->{partition} || $a->{offset} <=> $b->{offset} } @_
	];
}

# These messages are those, each with all of its parts and none besides. A message written without a
# timestamp must have one between two times, those of before and after it was written.
sub same_messages
{
	my ($got, $expected, $since, $name) = @_;
	my $until = 1000 * time;
	my $got_shown = comparable(@$got);
	my $expected_shown = comparable(@$expected);

	if (@$got_shown == @$expected_shown)
	{
		foreach my $i (0 .. $#$got_shown)
		{
			my $timestamp = $got_shown->[$i]{timestamp};

			next if defined $expected_shown->[$i]{timestamp};
			$expected_shown->[$i]{timestamp} =
			  $timestamp >= int($since) && $timestamp <= $until ? $timestamp : 'now';
		}
	}
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is_deeply($got_shown, $expected_shown, $name);
}

# kafka-go's Reader has nil for what is empty, as for what is null.
sub null_for_empty
{
	my $null = sub { defined $_[0] && length $_[0] ? $_[0] : undef };

	return map {
		{
			%$_,
			key => $null->($_->{key}),
			value => $null->($_->{value}),
			headers => [ map { [ $_->[0], $null->($_->[1]) ] } @{ $_->{headers} } ],
		}
	} @_;
}

# One of each kind. Every one of the three partitions has a message that is worth compressing, since
# librdkafka leaves a batch alone that would not become smaller.
sub kinds
{
	my $all_bytes = join '', map { chr } 0 .. 255;
	my @kinds = (
		{ value => 'no key' },
		{ key => 'text', value => '{"a": [1, 2.50, "\\u20ac"]}' },
		{ key => '', value => 'an empty key' },
		{ key => 'empty', value => '' },
		{ key => '', value => '' },
		{ key => undef, value => '' },
		{ key => 'tombstone', value => undef },
		{ key => '', value => undef, headers => [ [ 'why', 'deleted' ] ] },
		{ key => encode_utf8('ключ €'), value => encode_utf8("Grüße, 漢字, 🐘\n\t\\N\\x41") },
		{ key => $all_bytes, value => scalar reverse $all_bytes },
		{ key => "\0", value => "\xff\xfe\0" },
		{
			key => 'headers',
			value => 'v',
			headers => [
				[ 'one', '1' ],
				[ 'twice', 'first' ],
				[ 'null', undef ],
				[ 'empty', '' ],
				[ 'twice', 'second' ],
				[ 'binary', $all_bytes ],
				[ 'größe €', encode_utf8('weiß') ],
				[ 'twice', undef ],
				[ '', 'a name that is empty' ],
			]
		},
		{ key => 'time', value => 'a millisecond', timestamp => 1577934245678 },
		{ key => 'time', value => 'long ago', timestamp => 1 },
		{ key => 'time', value => 'one millisecond before', timestamp => 1577934245677 },
		map { { key => "large $_", value => "$_ " . join ',', 1 .. 50_000 } } 0 .. 2);

	foreach my $i (0 .. $#kinds)
	{
		$kinds[$i]{partition} = $i % 3;
		$kinds[$i]{headers} //= [];
	}
	return @kinds;
}

#----------------------------------------------------------------------
# SQL
#----------------------------------------------------------------------

# Text here is not only ASCII, so the database must have an encoding of its own.
my $node = PostgreSQL::Test::Cluster->new('interop');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->start;

sub sql
{
	my ($statement) = @_;

	return $node->safe_psql('postgres', encode_utf8($statement));
}

# Like sql, for statements whose rows are JSON.
sub sql_json
{
	my ($statement) = @_;

	return decode_lines($node->safe_psql('postgres', encode_utf8($statement)));
}

sub bytea
{
	my ($bytes) = @_;

	return defined $bytes ? sprintf q{decode('%s', 'base64')}, base64($bytes) : 'NULL::bytea';
}

sub text
{
	my ($characters) = @_;

	return "'" . $characters =~ s/'/''/gr . "'";
}

sub number
{
	my ($number) = @_;

	return defined $number ? $number : 'NULL';
}

sub timestamptz
{
	my ($ms) = @_;

	return
	  defined $ms
	  ? "'1970-01-01 00:00:00Z'::timestamptz + $ms * interval '1 millisecond'"
	  : 'NULL::timestamptz';
}

sub header_array
{
	my ($headers) = @_;

	return sprintf 'ARRAY[%s]::kafka_header[]',
	  join ', ', map { sprintf 'ROW(%s, %s)', text($_->[0]), bytea($_->[1]) } @$headers;
}

# The object that headers are as jsonb, and the order in which that object has them.
sub header_object
{
	my ($headers) = @_;
	my %object;

	foreach my $header (@$headers)
	{
		my ($name, $value) = @$header;
		my $characters = $value;

		# Not all bytes are text; jsonb has no character 0 either.
		if (defined $value && (!utf8::decode($characters) || $characters =~ /\0/))
		{
			$characters = { base64 => base64($value) };
		}
		push @{ $object{$name} }, $characters;
	}
	foreach my $name (keys %object)
	{
		$object{$name} = $object{$name}[0] if @{ $object{$name} } == 1;
	}
	return \%object;
}

sub in_order_of_jsonb
{
	my ($headers) = @_;

	return [
		sort {
			my ($x, $y) = map { encode_utf8($_->[0]) } $a, $b;
			length $x <=> length $y || $x cmp $y
		} @$headers
	];
}

# A new topic. Nothing in it is to be deleted for its age, which some of the messages here have.
sub new_topic
{
	my ($partitions, %config) = @_;
	my $topic = KafkaFdw::Test->topic('interop');

	$config{'retention.ms'} = '-1';
	sql(sprintf q{SELECT kafka_create_topic('%s', %d, config => %s, server => 'kafka_none')},
		$topic, $partitions, text($json->encode(\%config)));
	return $topic;
}

my $tables = 0;

# A new foreign table for a topic, on the server of a codec.
sub new_table
{
	my ($topic, $codec, %options) = @_;
	my $name = 'messages_' . ++$tables;

	$options{topic} = $topic;
	sql(sprintf q{CREATE FOREIGN TABLE %s (partition int, "offset" bigint, "timestamp" timestamptz,
			timestamp_type text, key bytea, value bytea, headers kafka_header[])
		SERVER kafka_%s OPTIONS (%s)},
		$name, $codec, join ', ', map { "$_ " . text($options{$_}) } sort keys %options);
	return $name;
}

# All that a foreign table shows of its topic.
sub sql_read
{
	my ($table) = @_;

	return map { from_client($_) } sql_json(
		qq{SELECT json_build_object(
				'partition', partition,
				'offset', "offset",
				'timestamp', (extract(epoch FROM "timestamp") * 1000)::bigint,
				'key', translate(encode(key, 'base64'), E'\\n', ''),
				'value', translate(encode(value, 'base64'), E'\\n', ''),
				'headers', (SELECT coalesce(json_agg(json_build_object(
						'name', h.name,
						'value', translate(encode(h.value, 'base64'), E'\\n', '')) ORDER BY n), '[]')
					FROM unnest(headers) WITH ORDINALITY AS h (name, value, n)))
			FROM $table});
}

# The place and time that a sending statement gave back.
my $placed = q{json_build_object('partition', partition, 'offset', "offset",
	'timestamp', (extract(epoch FROM "timestamp") * 1000)::bigint)};

sql('CREATE EXTENSION kafka_fdw');
foreach my $codec (@codecs)
{
	KafkaFdw::Test->create_server($node, "kafka_$codec", $bootstrap, "compression_codec '$codec'");
}

# Each partition of a topic has batches of one codec, and none of another; batches that would not
# have become smaller are uncompressed.
sub stored_with
{
	my ($topic, $partitions, $codec, $name) = @_;
	my %seen;

	foreach my $partition (0 .. $partitions - 1)
	{
		my @batches = interop('sarama', 'batches', [ '-topic', $topic, '-partition', $partition ]);

		$seen{ join ',', sort +uniq('none', map { $_->{codec} } @batches) }++;
	}
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is_deeply(
		[ keys %seen ],
		[ join ',', sort +uniq('none', $codec) ],
		$name);
}

sub uniq
{
	my %seen;

	return grep { !$seen{$_}++ } @_;
}

#----------------------------------------------------------------------
# They write, SQL reads
#----------------------------------------------------------------------

foreach my $client (@clients)
{
	foreach my $codec (@codecs)
	{
		my $topic = new_topic(3);
		my $since = 1000 * time;
		my @written = client_produce($client, $topic, [ '-codec', $codec ],
			kinds(), { partition => 0, key => undef, value => undef, headers => [] });
		my $table = new_table($topic, 'none');

		stored_with($topic, 3, $codec, "$client stores with $codec");
		same_messages([ sql_read($table) ],
			\@written, $since, "SQL reads what $client writes, $codec");
	}
}

# Headers as jsonb, of the message that has some of each kind.
{
	my ($message) = grep { ($_->{key} // '') eq 'headers' } kinds();

	foreach my $client (@clients)
	{
		my $topic = new_topic(3);
		my $table = new_table($topic, 'none');

		client_produce($client, $topic, [], $message);
		sql("ALTER FOREIGN TABLE $table ALTER headers TYPE jsonb");
		is_deeply(
			[ sql_json("SELECT headers FROM $table") ],
			[ header_object($message->{headers}) ],
			"headers of $client as jsonb");
	}
}

#----------------------------------------------------------------------
# SQL writes, they read
#----------------------------------------------------------------------

# A client, and one of its ways to read, with what is expected of that.
my @readers = (
	[ 'sarama' ],
	[ 'kafka-go', '-exact' ],
	[ 'kafka-go', sub { null_for_empty(@_) } ],
	[ 'confluent' ]);

# Messages that a sending statement did not return, or with a time other than they were given.
sub times_not_returned
{
	my ($messages, $places) = @_;

	return [
		grep {
			my ($time, $returned) = ($messages->[$_]{timestamp}, $places->[$_]{timestamp});
			!defined $returned || defined $time && $time != $returned
		} 0 .. $#$messages
	];
}

sub all_read
{
	my ($topic, $written, $since, $name) = @_;

	foreach my $reader (@readers)
	{
		my ($client, @arguments) = @$reader;
		my $seen = ref $arguments[0] ? shift @arguments : sub { @_ };

		same_messages(
			[ client_consume($client, $topic, @arguments) ],
			[ $seen->(@$written) ],
			$since, join ' ', $client, @arguments, $name);
	}
	return;
}

foreach my $codec (@codecs)
{
	my $topic = new_topic(3);
	my $table = new_table($topic, $codec);
	my $since = 1000 * time;

	# A NULL value is a tombstone, which kafka_produce takes with a key alone: an empty one is one.
	my @kinds = kinds();
	my @places = sql_json(
		join ";\n",
		map {
			sprintf q{SELECT %s FROM kafka_produce(%s, value => %s, key => %s, partition => %s,
				headers => %s, "timestamp" => %s, server => 'kafka_%s')},
			  $placed, text($topic), bytea($_->{value}), bytea($_->{key}), number($_->{partition}),
			  text(JSON::PP->new->encode(header_object($_->{headers}))),
			  timestamptz($_->{timestamp}), $codec
		} @kinds);
	my @written = map {
		{ %{ $kinds[$_] }, %{ $places[$_] }, headers => in_order_of_jsonb($kinds[$_]{headers}) }
	} 0 .. $#kinds;

	is_deeply(times_not_returned(\@kinds, \@places), [], "kafka_produce returns the times, $codec");
	stored_with($topic, 3, $codec, "kafka_produce stores with $codec");
	same_messages([ sql_read($table) ],
		\@written, $since, "SQL reads what kafka_produce wrote, $codec");
	all_read($topic, \@written, $since, "reads what kafka_produce writes, $codec");

	# INSERT gives the headers in their own order.
	$topic = new_topic(3);
	$table = new_table($topic, $codec);
	$since = 1000 * time;
	@places = sql_json(sprintf 'INSERT INTO %s (partition, "timestamp", key, value, headers)
			VALUES %s RETURNING %s',
		$table,
		join(', ', map {
			sprintf '(%s, %s, %s, %s, %s)', number($_->{partition}), timestamptz($_->{timestamp}),
			  bytea($_->{key}), bytea($_->{value}), header_array($_->{headers})
		} @kinds),
		$placed);

	is_deeply(times_not_returned(\@kinds, \@places), [], "INSERT returns the times, $codec");
	@written = map { { %{ $kinds[$_] }, %{ $places[$_] } } } 0 .. $#kinds;
	stored_with($topic, 3, $codec, "INSERT stores with $codec");
	same_messages([ sql_read($table) ], \@written, $since, "SQL reads what INSERT wrote, $codec");
	all_read($topic, \@written, $since, "reads what INSERT writes, $codec");
}

# The four overloads of kafka_send.
{
	my $topic = new_topic(1);
	my $since = 1000 * time;
	my @offsets;
	my @calls = (
		[ q{'this is a test log'}, 'this is a test log' ],
		[ q{'Grüße'::text, 'ключ'::text}, encode_utf8('Grüße'), encode_utf8('ключ') ],
		[ q{''::text, ''::text}, '', '' ],
		[ q{NULL::text, 'k'::text}, undef, 'k' ],
		[ q{'\xff00'::bytea, '\x00ff'::bytea}, "\xff\0", "\0\xff" ],
		[ q{'{"b": 1,  "a":2}'::json, 'k'}, '{"b": 1,  "a":2}', 'k' ],
		[ q{'{"b": 1,  "a":2}'::jsonb, 'k'}, '{"a": 2, "b": 1}', 'k' ],
		[ q{NULL::jsonb, 'k'}, undef, 'k' ]);
	my @written;

	foreach my $call (@calls)
	{
		my ($arguments, $value, $key) = @$call;
		my $offset = sql("SELECT kafka_send('$topic', $arguments, server => 'kafka_none')");

		push @offsets, $offset;
		push @written,
		  { partition => 0, offset => $offset, key => $key, value => $value, headers => [] };
	}
	is_deeply(\@offsets, [ 0 .. $#calls ], 'kafka_send returns the offset');
	all_read($topic, \@written, $since, 'reads what kafka_send writes');

	my @batches = interop('sarama', 'batches', [ '-topic', $topic ]);
	is(scalar(grep { $_->{producer_id} >= 0 } @batches), scalar @batches, 'sends are idempotent');
}

#----------------------------------------------------------------------
# Many messages
#----------------------------------------------------------------------

# The rows of a bulk: numbers that each partition must show in rising order, every one once.
sub bulk_faults
{
	my ($n, @messages) = @_;
	my (%last, %seen, @faults);

	foreach my $m (@messages)
	{
		my ($number) = $m->{value} =~ /^number (\d+) /;

		push @faults, "not rising at $m->{partition}:$m->{offset}"
		  if defined $last{ $m->{partition} } && $last{ $m->{partition} } >= $number;
		$last{ $m->{partition} } = $number;
		$seen{$number}++;
	}
	push @faults, map { sprintf 'number %d %d times', $_, $seen{$_} // 0 }
	  grep { ($seen{$_} // 0) != 1 } 1 .. $n;
	push @faults, 'more than were written' if @messages > $n;
	push @faults, 'not in all partitions' unless keys %last == 3;
	return splice @faults, 0, 10;
}

foreach my $codec (@codecs)
{
	my $n = 5000;
	my $topic = new_topic(3);
	my $table = new_table($topic, $codec);

	sql(qq{INSERT INTO $table (key, value)
		SELECT convert_to('key ' || i % 100, 'UTF8'),
			convert_to('number ' || i || ' ' || repeat('x', i % 500), 'UTF8')
		FROM generate_series(1, $n) i});
	stored_with($topic, 3, $codec, "INSERT ... SELECT stores with $codec");
	foreach my $client (@clients)
	{
		is_deeply([ bulk_faults($n, client_consume($client, $topic)) ],
			[], "$client reads $n rows of INSERT ... SELECT, $codec");
	}
}

foreach my $client (@clients)
{
	my $n = 5000;
	my $topic = new_topic(3);
	my $table = new_table($topic, 'none');

	client_produce($client, $topic, [ '-codec', 'lz4' ],
		map {
			{ key => 'key ' . $_ % 100, value => "number $_ " . 'x' x ($_ % 500), headers => [] }
		} 1 .. $n);
	is_deeply([ bulk_faults($n, sql_read($table)) ], [], "SQL reads $n messages of $client");
	is(sql("SELECT count(*), count(DISTINCT value) FROM $table"),
		"$n|$n", "SQL counts $n messages of $client");
}

#----------------------------------------------------------------------
# The partition of a key
#----------------------------------------------------------------------

{
	# What BuiltInPartitioner.partitionForKey of Kafka's Java client (4.3.0) answers for seven
	# partitions.
	my $all_bytes = join '', map { chr } 0 .. 255;
	my %java = (
		'' => 2,
		'a' => 5,
		'ab' => 0,
		'abc' => 4,
		'abcd' => 5,
		'21' => 3,
		'42' => 3,
		'foobar' => 0,
		'a-little-bit-long-string' => 1,
		'a-little-bit-longer-string' => 0,
		'lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8' => 3,
		'kafka' => 3,
		'postgres' => 4,
		'order-1' => 4,
		'order-2' => 1,
		'order-3' => 4,
		encode_utf8('ключ') => 4,
		encode_utf8('漢字') => 6,
		"\0" => 0,
		"\xff\xfe\0" => 6,
		$all_bytes => 3);
	my @keys = sort keys %java;
	my $topic = new_topic(7);
	my $table = new_table($topic, 'none');
	my %expected = map { printable($_) => $java{$_} } @keys;
	my $in_sql = join ', ', map { '(' . bytea($_) . ')' } @keys;
	my $row = q{json_build_object('key', translate(encode(key, 'base64'), E'\n', ''),
		'partition', partition)};
	my $seen = sub { return { map { printable(unbase64($_->{key})) => $_->{partition} } @_ } };

	foreach my $client (@clients)
	{
		is_deeply(
			{   map { printable($_->{key}) => $_->{partition} }
				  client_produce($client, $topic, [],
					map { { key => $_, value => 'v', headers => [] } } @keys)
			},
			\%expected,
			"$client partitions as Java does");
	}
	is_deeply(
		$seen->(
			sql_json(
				qq{SELECT json_build_object('key', translate(encode(k, 'base64'), E'\\n', ''),
						'partition', p.partition)
					FROM (VALUES $in_sql) keys (k),
						kafka_produce('$topic', 'v'::bytea, k, server => 'kafka_none') p})),
		\%expected,
		'kafka_produce partitions as Java does');
	is_deeply(
		$seen->(
			sql_json(
				qq{INSERT INTO $table (key, value) SELECT k, 'v' FROM (VALUES $in_sql) keys (k)
					RETURNING $row})),
		\%expected,
		'INSERT with RETURNING partitions as Java does');

	sql(qq{INSERT INTO $table (key, value) SELECT k, 'batched' FROM (VALUES $in_sql) keys (k)});
	is_deeply($seen->(sql_json("SELECT $row FROM $table WHERE value = 'batched'")),
		\%expected, 'INSERT in batches partitions as Java does');

	is( sql(qq{SELECT partition
			FROM kafka_produce('$topic', 'v'::text, 'ключ'::text, server => 'kafka_none')}),
		4, 'a key of text is hashed in UTF-8');
}

#----------------------------------------------------------------------
# Tails
#----------------------------------------------------------------------

# A client at the newest offset sees what SQL sends after that, and not what was before.
foreach my $client (@clients)
{
	my $topic = new_topic(1);
	my ($output, $error) = ('', '');

	sql(qq{SELECT kafka_send('$topic', 'before', server => 'kafka_none')});
	my $tail = IPC::Run::start(
		command_line($client, 'consume', '-topic', $topic, '-from', 'newest', '-count', 3),
		'<', \undef, '>', \$output, '2>', \$error, IPC::Run::timeout(2 * $patience));
	$tail->pump while $output !~ /"ready":true/ && $tail->pumpable;

	sql(qq{SELECT kafka_send('$topic', 'sent', 'k', server => 'kafka_none')});
	sql(qq{SELECT kafka_produce('$topic', NULL::text, 'k', server => 'kafka_none')});
	sql(sprintf q{INSERT INTO %s (value) VALUES ('inserted')}, new_table($topic, 'zstd'));
	ok($tail->finish, "$client ends its tail") or diag($error);

	my ($ready, @messages) = map { from_client($_) } decode_lines($output);
	is_deeply(
		[ map { [ @{$_}{qw(offset key value)} ] } @messages ],
		[ [ 1, 'k', 'sent' ], [ 2, 'k', undef ], [ 3, undef, 'inserted' ] ],
		"$client tails what SQL sends");
}

# The other way round. Nothing says when a SELECT has found the end of its topic, so it is sent to
# until it shows something; from there on it must show everything.
{
	my $topic = new_topic(1);
	my $table = new_table($topic, 'none', start_offset => 'newest', wait_timeout => "${patience}s");
	my $query = qq{SELECT "offset", convert_from(value, 'UTF8') FROM $table};
	my ($output, $error) = ('', '');

	sql(qq{SELECT kafka_send('$topic', 'before', server => 'kafka_none')});
	my $tail = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres') . ' application_name=tail',
			'-v', 'FETCH_COUNT=1', '-c', $query ],
		'<', \undef, '>', \$output, '2>', \$error, IPC::Run::timeout(2 * $patience));
	while ($output !~ /marker/)		# psql ends a line when it prints the next
	{
		sql(qq{SELECT kafka_send('$topic', 'marker', server => 'kafka_none')});
		$tail->pump_nb;
	}

	my @sent;
	foreach my $client (@clients)
	{
		my @written = client_produce($client, $topic, [ '-codec', 'gzip' ],
			map { { value => "$client $_", headers => [] } } 1 .. 3);

		push @sent, map { "$_->{offset}|$_->{value}" } @written;
		$tail->pump while $output !~ /\Q$sent[-1]\E/ && $tail->pumpable;
	}
	# Not before it waits for more: between two rows there is nothing to cancel.
	$node->poll_query_until('postgres',
		q{SELECT state = 'active' AND wait_event_type = 'Extension' FROM pg_stat_activity WHERE application_name = 'tail'})
	  or die 'the tail does not wait';
	sql(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'tail'});
	$tail->finish;
	like($error, qr/canceling statement due to user request/,
		'the tail goes on until it is cancelled');

	my @rows = split /\n/, $output;
	is_deeply([ grep { !/marker/ } @rows ], \@sent, 'SQL tails what the clients write');
	my ($first) = $rows[0] =~ /^(\d+)/;
	is_deeply(
		[ map { /^(\d+)/ } @rows ],
		[ $first .. $first + $#rows ],
		'the tail leaves nothing out and repeats nothing');
	cmp_ok($first, '>', 0, 'the tail shows nothing from before it');
}

#----------------------------------------------------------------------
# Transactions
#----------------------------------------------------------------------

{
	my $topic = new_topic(1);
	my $committed = new_table($topic, 'none');
	my $all = new_table($topic, 'none', isolation_level => 'read_uncommitted');
	my $values = q{SELECT string_agg(convert_from(value, 'UTF8'), ' ' ORDER BY "offset") FROM};

	foreach my $client (qw(sarama confluent))
	{
		foreach my $end (qw(commit abort))
		{
			client_produce($client, $topic, [ '-transaction', $end, '-codec', 'snappy' ],
				map { { value => "$client-$end-$_", headers => [] } } 1 .. 2);
		}
	}
	KafkaFdw::Test->settle($node, $topic, 'kafka_none');
	is( sql("$values $committed"),
		'sarama-commit-1 sarama-commit-2 confluent-commit-1 confluent-commit-2',
		'read_committed: what Go clients committed');
	is( sql("$values $all"),
		join(' ', map { my $client = $_; map { ("$client-$_-1", "$client-$_-2") } qw(commit abort) }
			  qw(sarama confluent)),
		'read_uncommitted: what they aborted, too');
}

#----------------------------------------------------------------------
# The broker's time
#----------------------------------------------------------------------

{
	my $topic = new_topic(1, 'message.timestamp.type' => 'LogAppendTime');
	my $table = new_table($topic, 'none');
	my $since = 1000 * time;
	my ($place) = sql_json(
		qq{SELECT $placed FROM kafka_produce('$topic', 'v'::text,
			"timestamp" => '2020-01-02 03:04:05Z', server => 'kafka_none')});

	cmp_ok($place->{timestamp}, '>=', int $since, 'kafka_produce returns the time of the broker');
	foreach my $client (qw(sarama confluent))
	{
		my ($message) = client_consume($client, $topic);

		is($message->{timestamp}, $place->{timestamp}, "$client reads the time of the broker");
	}
	is( sql(qq{SELECT timestamp_type, (extract(epoch FROM "timestamp") * 1000)::bigint
			FROM $table}),
		"append|$place->{timestamp}",
		'SQL reads the time of the broker');
}

$node->stop;
done_testing();
