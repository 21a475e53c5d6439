# t/053_csv.pl
#		Format csv reads and writes what COPY does.
#
# Random messages, made of the characters that count, under random settings, go through a foreign
# table and, each as a file of its own, through COPY FROM: the rows are the same, or the error is the
# same (the first of those in junk_error, and the one that on_error stop raises). So are the values of
# types that are read without their input functions, in all spellings. Random rows go through INSERT
# and through COPY TO: the bytes are the same, and what is read back is what was written.
#
# Two things differ on purpose, and are expected here: a message is one row, so more than one line is
# bad data; and "\." is data, which COPY before version 18 takes for the end.
#
# A failure prints the seed, with which it can be run again:
#	KAFKA_FDW_SEED=... KAFKA_FDW_SETS=200 prove -I t/lib t/053_csv.pl
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;

my $seed = $ENV{KAFKA_FDW_SEED} // (time ^ ($$ << 8)) % 1_000_000_000;
my $nsets = $ENV{KAFKA_FDW_SETS} // 12;
my $nmessages = 200;

note "KAFKA_FDW_SEED=$seed";
srand $seed;

sub pick
{
	return $_[ int rand @_ ];
}

sub one_in
{
	return rand(shift) < 1;
}

sub quote_literal
{
	my ($text) = @_;

	$text =~ s/'/''/g;
	$text =~ s/\\/\\\\/g;
	return "E'$text'";
}

#----------------------------------------------------------------------
# Random tables
#----------------------------------------------------------------------

# COPY's options, of which the validator refuses some combinations.
sub random_settings
{
	my $delimiter = pick(',', ',', ',', ';', "\t", '|', 'x', ' ', '\\');
	my $quote = pick('"', '"', '"', "'", 'q', '%');
	my %settings = (
		delimiter => $delimiter,
		quote => $quote,
		escape => pick($quote, $quote, '\\', 'e', '"', $delimiter),
		null => pick('', '', 'NULL', '\N', 'n', 'a b'));

	return random_settings()
		if $delimiter eq $quote || index($settings{null}, $delimiter) >= 0 ||
		index($settings{null}, $quote) >= 0;
	return \%settings;
}

sub copy_options
{
	my ($settings) = @_;

	return join ', ', map { "$_ " . quote_literal($settings->{$_}) } sort keys %$settings;
}

my @types = ('text', 'text', 'text', 'varchar(3)', 'char(2)', 'smallint', 'int', 'bigint', 'real',
	'float8', 'boolean', 'numeric', 'numeric(4,1)', 'date', 'timestamp', 'bytea', 'jsonb',
	'int[]', 'small', 'needed');

sub random_columns
{
	my @columns;

	for my $i (1 .. 1 + int rand 4)
	{
		push @columns, {
			name => "c$i",
			type => one_in(2) ? 'text' : pick(@types),
			force => one_in(6) ? pick('force_null', 'force_not_null') : undef };
	}
	return \@columns;
}

#----------------------------------------------------------------------
# Random messages
#----------------------------------------------------------------------

sub random_digits
{
	return join '', map { int rand 10 } 1 .. 1 + int rand shift;
}

# A value as somebody may spell it, right or wrong.
sub random_spelling
{
	my ($type) = @_;
	my $number = pick('', '', '-', '+') . random_digits(pick(2, 5, 10, 20));

	return pick('', ' ', '-', 'abc', '12abc', '--1') if one_in(8);
	if ($type =~ /int|small|needed/)
	{
		return pick('32767', '32768', '-32768', '2147483647', '2147483648', '-2147483648',
			'-2147483649', '9223372036854775807', '9223372036854775808', '-9223372036854775808',
			'999999999999999999', '1000000000000000000', '007', '-0', ' 5', '5 ', '0x1F', '1_000',
			'1e3', '5.0', '{1,2}', '{1,x}') if one_in(2);
		return $number;
	}
	if ($type =~ /real|float8|numeric/)
	{
		return pick('NaN', 'inf', '-Infinity', '-0', '-0.0', '.5', '5.', '1e10', '1E-400', '1e400',
			'0x10', ' 1.5 ', '16777217', '16777216.5', '9007199254740993', '9007199254740992.5',
			'123456789012345678', '1.7976931348623157e308', '0.1', '1..2', '1.2.3', '1,5', '4.9e-324')
			if one_in(2);
		return $number . (one_in(3) ? '' : '.' . random_digits(pick(2, 8, 20, 25)));
	}
	return pick('t', 'f', 'true', 'false', 'TRUE', 'tr', 'yes', 'off', '1', '0', ' t ', 'tt', 'o')
		if $type eq 'boolean';
	return pick('2024-02-29', '2023-02-29', '2024-1-2', '20240131', 'infinity', '01/02/2024',
		'2024-01-01 25:00', '2024-01-01 12:30:00.123456', 'Jan 5 2024', '0001-01-01 BC')
		if $type =~ /date|timestamp/;
	return pick('\x4142', '\x4', 'abc', '\\134', '\\1') if $type eq 'bytea';
	return pick('{"a": 1}', '[1, 2', '"x"', 'null', '1e5') if $type eq 'jsonb';
	return join '', map { pick('a', 'b', ' ', "\xc3\xa9", 'ab') } 1 .. int rand 5;
}

# Quoted, as somebody may do it.
sub random_quoting
{
	my ($settings, $text) = @_;
	my ($quote, $escape) = @$settings{qw(quote escape)};

	return $text if one_in(2);
	$text =~ s/(\Q$quote\E|\Q$escape\E)/$escape$1/g unless one_in(6);
	return $quote . $text . $quote;
}

sub random_noise
{
	my ($settings) = @_;

	return join '', map {
		pick($settings->{delimiter}, $settings->{quote}, $settings->{quote}, $settings->{escape},
			$settings->{null}, 'a', 'b', "\n", "\r", "\r\n", ' ', '\\', '.', "\xc3\xa9")
	} 1 .. int rand 8;
}

sub random_message
{
	my ($settings, $columns) = @_;
	my @fields;
	my $message;

	return random_noise($settings) if one_in(5);
	for my $column (@$columns)
	{
		my $field = random_spelling($column->{type});

		$field = random_noise($settings) if one_in(4);
		$field = $settings->{null} if one_in(6);
		push @fields, random_quoting($settings, $field);
	}
	pop @fields if one_in(15);
	push @fields, random_quoting($settings, 'a') if one_in(15);
	$message = join $settings->{delimiter}, @fields;
	$message .= pick("\n", "\r\n") if one_in(6);
	return $message;
}

#----------------------------------------------------------------------
# Both of them
#----------------------------------------------------------------------

my $node = KafkaFdw::Test->new_node('main');
my $bootstrap = KafkaFdw::Test->bootstrap;

# Run SQL with the settings that COPY TO is compared under.
sub sql
{
	return $node->safe_psql('postgres', "SET client_min_messages = error; $_[0]");
}

# What COPY FROM makes of a message that is a file of its own: the row as text, or the error.
# A message without its newline gets one, or an empty one would be no line. The number of lines is
# what a table of one wide column has of them.
sql(q{
	CREATE DOMAIN small AS int CHECK (VALUE < 1000);
	CREATE DOMAIN needed AS int NOT NULL;
	CREATE TABLE message (set int, id int, value bytea, PRIMARY KEY (set, id));
	CREATE TABLE oracle (set int, id int, value text, error text, PRIMARY KEY (set, id));
	CREATE FUNCTION ask_copy(set int, relation text, columns text, options text, path text)
	RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		m record;
		o oid;
		n int;
		row text;
	BEGIN
		FOR m IN SELECT id, value FROM message WHERE message.set = ask_copy.set LOOP
			IF right(encode(m.value, 'hex'), 2) <> '0a' THEN
				m.value := m.value || '\x0a';
			END IF;
			o := lo_from_bytea(0, m.value);
			PERFORM lo_export(o, path);
			PERFORM lo_unlink(o);
			BEGIN
				EXECUTE format('TRUNCATE %s; COPY %s FROM %L (%s)', relation, relation, path, options);
				EXECUTE format('SELECT count(*), min(row(%s)::text) FROM %s', columns, relation)
					INTO n, row;
				INSERT INTO oracle VALUES (set, m.id, CASE WHEN n = 1 THEN row END,
					CASE WHEN n <> 1 THEN n || ' rows' END);
			EXCEPTION WHEN OTHERS THEN
				INSERT INTO oracle VALUES (set, m.id, NULL, SQLERRM);
			END;
		END LOOP;
	END $$;
	CREATE FUNCTION error_of(query text) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE query;
		RETURN NULL;
	EXCEPTION WHEN OTHERS THEN
		RETURN SQLERRM;
	END $$;
});

# Lines that end where no quote is open are bad data whatever COPY makes of them: what it says of a
# second line, or of a line end other than the first, is not what we say.
my $line_end = q{(f.error LIKE 'unquoted newline%' OR f.error LIKE 'unquoted carriage return%')};

sub compare_reading
{
	my ($set, $settings, $columns) = @_;
	my $topic = KafkaFdw::Test->topic('read');
	my $options = copy_options($settings);
	my $names = join ', ', map { $_->{name} } @$columns;
	my $declared = join ', ', map { "$_->{name} $_->{type}" } @$columns;
	my $foreign = join ', ', map {
		"$_->{name} $_->{type}" . ($_->{force} ? " OPTIONS ($_->{force} 'true')" : '')
	} @$columns;
	my $copy = "FORMAT csv, $options";
	my @values;
	my $wrong;

	for my $force ('force_null', 'force_not_null')
	{
		my @forced = map { $_->{name} } grep { ($_->{force} // '') eq $force } @$columns;

		$copy .= ", $force (" . join(', ', @forced) . ')' if @forced;
	}
	for my $id (0 .. $nmessages - 1)
	{
		my $message = random_message($settings, $columns);

		# COPY's end of data; and a carriage return that our newline would make an end of line.
		$message = 'a' if $message =~ /(?:^|[\r\n])\\\.(?:[\r\n]|\z)/ || $message =~ /\r\z/;
		push @values, sprintf q{(%d, %d, '\x%s')}, $set, $id, unpack('H*', $message);
	}

	sql("INSERT INTO message VALUES " . join(', ', @values));
	sql(qq{
		CREATE TABLE copied_$set ($declared);
		SELECT ask_copy($set, 'copied_$set', '$names', \$\$$copy\$\$, '${\$node->data_dir}/message');
		SELECT kafka_create_topic('$topic');
		CREATE FOREIGN TABLE raw_$set (value bytea) SERVER kafka OPTIONS (topic '$topic');
		INSERT INTO raw_$set SELECT value FROM message WHERE set = $set ORDER BY id;
		CREATE FOREIGN TABLE foreign_$set ("offset" int OPTIONS ("offset" 'true'), $foreign,
			error text OPTIONS (junk_error 'true'))
			SERVER kafka OPTIONS (topic '$topic', format 'csv', strict 'true', $options);
		CREATE FOREIGN TABLE strict_$set ("offset" int OPTIONS ("offset" 'true'), $foreign)
			SERVER kafka OPTIONS (topic '$topic', format 'csv', strict 'true', $options)});

	# The row, or the first of the errors, which may quote more than a line itself.
	$wrong = sql(qq{
		SELECT o.id, encode(value, 'escape'), o.value, f.value, o.error, f.error
		FROM (SELECT "offset" AS id, row($names)::text AS value, error FROM foreign_$set) f
			FULL JOIN (SELECT o.*, m.value AS message FROM oracle o JOIN message m USING (set, id)
				WHERE set = $set) o USING (id)
		WHERE CASE WHEN $line_end THEN o.error IS NULL
			WHEN o.error IS NULL THEN f.error IS NOT NULL OR f.value IS DISTINCT FROM o.value
			ELSE f.error IS NULL OR NOT starts_with(f.error, o.error) END
		LIMIT 3} =~ s/encode\(value/encode(o.message/r);
	is($wrong, '', "set $set: COPY FROM ($copy) of $declared");

	# on_error stop raises the first of them.
	$wrong = sql(qq{
		SELECT "offset", error, stopped FROM foreign_$set,
			error_of(format('SELECT row(%s) FROM strict_$set WHERE "offset" = %s', '$names',
				"offset")) stopped
		WHERE "offset" % 10 = 0 AND
			CASE WHEN error IS NULL THEN stopped IS NOT NULL
				ELSE stopped IS NULL OR NOT starts_with(error, stopped) END
		LIMIT 3});
	is($wrong, '', "set $set: the error raised is the first one noted");
	return;
}

# Rows of values that are text where they are to be compared.
sub random_rows
{
	my ($settings, $columns) = @_;
	my @rows;

	for (1 .. 50)
	{
		push @rows, '(' . join(
			', ',
			map {
				my $type = $_->{type};
				my $text = random_noise($settings);

				$text =~ s/\xc3\xa9/e/g;
				one_in(5) ? 'NULL' :
					$type eq 'int' ? int rand 1000 :
					$type eq 'date' ? "'2024-01-01'::date + " . int rand 1000 :
					$type eq 'float8' ? rand() :
					$type eq 'bytea' ? "'\\x" . unpack('H*', $text) . "'::bytea" :
					$type eq 'jsonb' ? 'to_jsonb(' . quote_literal($text) . '::text)' :
					quote_literal($text)
			} @$columns) . ')';
	}
	return join ', ', @rows;
}

sub compare_writing
{
	my ($set, $settings) = @_;
	my $topic = KafkaFdw::Test->topic('write');
	my $options = copy_options($settings);
	my @columns = map { { name => "c$_", type => pick('text', 'text', 'int', 'date', 'float8', 'bytea',
		'jsonb') } } 1 .. 1 + int rand 3;
	my $declared = join ', ', map { "$_->{name} $_->{type}" } @columns;
	my $names = join ', ', map { $_->{name} } @columns;
	my $path = $node->data_dir . '/written';
	my ($same, $read);

	sql(qq{
		CREATE TABLE rows_$set (id serial, $declared);
		INSERT INTO rows_$set ($names) VALUES } . random_rows($settings, \@columns) . qq{;
		SELECT kafka_create_topic('$topic');
		CREATE FOREIGN TABLE written_raw_$set (value bytea, "offset" bigint) SERVER kafka
			OPTIONS (topic '$topic');
		CREATE FOREIGN TABLE written_$set ($declared, "offset" bigint OPTIONS ("offset" 'true'))
			SERVER kafka OPTIONS (topic '$topic', format 'csv', strict 'true', $options);
		INSERT INTO written_$set ($names) SELECT $names FROM rows_$set ORDER BY id;
		COPY (SELECT $names FROM rows_$set ORDER BY id) TO '$path' (FORMAT csv, $options)});
	$same = sql(qq{
		SELECT string_agg(value || '\\x0a', '' ORDER BY "offset") = pg_read_binary_file('$path')
		FROM written_raw_$set});
	is($same, 't', "set $set: COPY TO ($options) of $declared");
	$read = sql(qq{
		SELECT count(*), count(*) FILTER (WHERE row(}
		. join(', ', map { "r.$_->{name}" } @columns) . ") IS NOT DISTINCT FROM row("
		. join(', ', map { "w.$_->{name}" } @columns) . qq{))
		FROM rows_$set r JOIN written_$set w ON w."offset" = r.id - 1});
	is($read, '50|50', "set $set: and is read again");
	return;
}

for my $set (1 .. $nsets)
{
	my $settings = random_settings();

	compare_reading($set, $settings, random_columns());
	compare_writing($set, $settings) if $set % 3 == 0;
}

# What differs on purpose
my $topic = KafkaFdw::Test->topic('own');
is(sql(qq{
	SELECT kafka_create_topic('$topic');
	CREATE FOREIGN TABLE own_raw (value text) SERVER kafka OPTIONS (topic '$topic');
	INSERT INTO own_raw VALUES (E'\\\\.'), (E'\\\\.\\n'), (E'a\\r'), (E'a\\n\\n'), (E'a\\nb'), ('');
	CREATE FOREIGN TABLE own (c text, error text OPTIONS (junk_error 'true'))
		SERVER kafka OPTIONS (topic '$topic', format 'csv');
	SELECT c, error FROM own}) =~ s/^\n//r, '\.|
\.|
|unquoted carriage return found in data
|unquoted newline found in data
|unquoted newline found in data
|', 'one message is one row, and there is no end-of-data marker');

# A scan that leaves messages out says where the first one is.
my $warning;
$node->psql('postgres', q{
	ALTER FOREIGN TABLE own OPTIONS (ADD on_error 'skip');
	SELECT count(*) FROM own}, stderr => \$warning);
like($warning, qr/WARNING:  3 messages could not be decoded and were left out of foreign table "own"
DETAIL:  The first one is in topic "\Q$topic\E", partition 0, offset 2: unquoted carriage return found in data\./,
	'a WARNING counts what was left out');

note "KAFKA_FDW_SEED=$seed" unless Test::More->builder->is_passing;
done_testing();
