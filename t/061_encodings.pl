# t/061_encodings.pl
#		Databases of another encoding than UTF8: what is sent is UTF-8 all the same, whatever way it goes,
#		and what is read is of the database, or an error that says what it is about.
use strict;
use warnings;

use KafkaFdw::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = KafkaFdw::Test->new_node('encodings');
my $bootstrap = KafkaFdw::Test->bootstrap;
my $topic;

foreach my $encoding ('LATIN1', 'SQL_ASCII')
{
	my $db = 'db_' . lc $encoding;
	my $sql = sub { return $node->safe_psql($db, "SET client_encoding = '$encoding'; $_[0]"); };
	my $error = sub {
		my ($status, $out, $err) = $node->psql($db, "SET client_encoding = '$encoding'; $_[0]", extra_params => [ '-v', 'VERBOSITY=verbose' ]);
		return $err;
	};
	# One letter as the database has it, and as Kafka does: é, ü
	my ($e, $u) = $encoding eq 'LATIN1' ? ("\xe9", "\xfc") : ("\xc3\xa9", "\xc3\xbc");
	my ($wire_e, $wire_u) = ('c3a9', 'c3bc');

	$topic = KafkaFdw::Test->topic(lc $encoding);
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0 ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE 'C'");
	$sql->(qq{
		CREATE EXTENSION kafka_fdw;
		CREATE SERVER kafka FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers '$bootstrap');
		SELECT kafka_create_topic('$topic', 1);
		CREATE FOREIGN TABLE bytes ("offset" bigint, key bytea, value bytea, headers kafka_header[]) SERVER kafka OPTIONS (topic '$topic');
		CREATE FOREIGN TABLE texts ("offset" bigint, key text, value text, headers jsonb) SERVER kafka OPTIONS (topic '$topic');
		CREATE FOREIGN TABLE js (o bigint OPTIONS (offset 'true'), "$e" text, o2 jsonb, err text OPTIONS (junk_error 'true'))
			SERVER kafka OPTIONS (topic '$topic', format 'json');
		CREATE FOREIGN TABLE csv (o bigint OPTIONS (offset 'true'), a text) SERVER kafka OPTIONS (topic '$topic', format 'csv');
		CREATE TABLE published (id int PRIMARY KEY, "$e" text)});

	# Each way of sending; what the last message is on the wire.
	my $last = sub {
		return $sql->(q{SELECT encode(key, 'hex'), encode(value, 'hex'), (SELECT string_agg(encode(convert_to(h.name, 'UTF8'), 'hex')
			|| '=' || encode(h.value, 'hex'), ',') FROM unnest(headers) h) FROM bytes ORDER BY "offset" DESC LIMIT 1});
	};
	$sql->("SELECT kafka_send('$topic', '$u', '$e', headers => '{\"$e\": \"$u\"}')");
	is($last->(), "$wire_e|$wire_u|$wire_e=$wire_u", "$encoding: kafka_send");
	$sql->("SELECT kafka_send('$topic', '{\"$e\": \"$u\"}'::jsonb, '$e')");
	is($last->(), "$wire_e|" . unpack('H*', '{"') . $wire_e . unpack('H*', '": "') . $wire_u . unpack('H*', '"}') . '|',
		"$encoding: jsonb");
	$sql->("SELECT kafka_send_on_commit('$topic', '$u', '$e', headers => '{\"$e\": \"$u\"}')");
	is($last->(), "$wire_e|$wire_u|$wire_e=$wire_u", "$encoding: at the commit");
	$sql->("INSERT INTO texts (key, value, headers) VALUES ('$e', '$u', '{\"$e\": \"$u\"}')");
	is($last->(), "$wire_e|$wire_u|$wire_e=$wire_u", "$encoding: INSERT");
	is($sql->('SELECT key, value, headers FROM texts ORDER BY "offset" DESC LIMIT 1'), qq($e|$u|{"$e": "$u"}),
		"$encoding: read back");
	is($sql->("SELECT key, value, headers FROM kafka_last('$topic', 1)"), qq($e|$u|{"$e": "$u"}), "$encoding: kafka_last");
	$sql->("INSERT INTO csv (a) VALUES ('$e,$u')");
	is($sql->('SELECT a FROM csv ORDER BY o DESC LIMIT 1'), "$e,$u", "$encoding: csv");
	$sql->("INSERT INTO js (\"$e\", o2) VALUES ('$u', '{\"$u\": 1}')");
	is($sql->("SELECT \"$e\", o2, err FROM js ORDER BY o DESC LIMIT 1"), "$u|{\"$u\": 1}|", "$encoding: json");
	like($sql->('SELECT encode(value, \'hex\') FROM bytes ORDER BY "offset" DESC LIMIT 1'), qr/$wire_e.*$wire_u/, "$encoding: json on the wire");
	$sql->("SELECT kafka_publish_table('published', '$topic', format => 'row', delivery => 'commit'); INSERT INTO published VALUES (1, '$u')");
	like($last->(), qr/$wire_e.*$wire_u/, "$encoding: a published row");
	$sql->("SELECT kafka_unpublish_table('published', '$topic'); SELECT kafka_publish_table('published', '$topic')");
	my $before = $sql->('SELECT max("offset") FROM bytes');
	$sql->("INSERT INTO published VALUES (2, '$u')");
	ok($node->poll_query_until($db, q{SELECT count(*) = 0 FROM kafka_outbox}), "$encoding: the relay has sent");
	# A transaction that is committed is to be seen when its marker is in the topic.
	$node->poll_query_until($db, qq{SELECT max("offset") > $before FROM bytes}) or die 'the message is not in the topic';
	like($last->(), qr/$wire_e.*$wire_u/, "$encoding: through the outbox");

	# Into a table
	$sql->("CREATE TABLE target (key text, value text); SELECT kafka_subscribe('s', 'texts', 'target', workers => 0); CALL kafka_ingest('s')");
	is($sql->("SELECT count(*) FROM target WHERE (key, value) = ('$e', '$u')"), '3', "$encoding: a subscription");

	# What cannot be.
	like($error->("SELECT kafka_create_topic('$topic$e')"), qr/ERROR:  42602: invalid name of a topic: "\Q$topic\E$e"/,
		"$encoding: a topic's name");
	if ($encoding eq 'LATIN1')
	{
		$sql->(qq{SELECT kafka_send('$topic', '{"$e": "\\u20ac"}'::json)});
		is($sql->("SELECT \"$e\" IS NULL, err FROM js ORDER BY o DESC LIMIT 1"), 't|unsupported Unicode escape sequence',
			'a character that the database lacks, in JSON');
		$sql->("SELECT kafka_send('$topic', '\\xe282ac'::bytea)");
		like($error->('SELECT value FROM texts ORDER BY "offset" DESC LIMIT 1'),
			qr/ERROR:  22P05: .*\n.*CONTEXT:  column "value" of foreign table "texts", topic "\Q$topic\E", partition 0, offset \d+/s,
			'and in text');
		is($sql->("SELECT value FROM kafka_last('$topic', 1)"), '\xe282ac', 'which kafka_last shows as it is');
	}
	else
	{
		like($error->("SELECT kafka_send('$topic', E'\\xe9 x')"), qr/ERROR:  22021: invalid byte sequence for encoding "UTF8": 0xe9/,
			'bytes that are not UTF-8 are not sent as text');
		like($error->("INSERT INTO texts (key) VALUES (E'\\xe9 x')"), qr/ERROR:  22021: .*CONTEXT:  column "key" of foreign table "texts", row 1/s,
			'nor by INSERT');
		like($error->("INSERT INTO published VALUES (3, E'\\xe9 x')"), qr/ERROR:  22021: .*publishing a change of table "published"/s,
			'nor by a trigger');
	}
}

$node->stop;
done_testing();
