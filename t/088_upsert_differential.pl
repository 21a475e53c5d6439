# t/088_upsert_differential.pl
#		Mode upsert makes of random changes what they are one by one, whatever the size of its batches.
#
# Table loose has keys that are equal but written in other ways, values that events lack, and three
# partitions. Table tight has unique columns beside its key, whose values change hands, and is
# emptied now and then. Both are changed as SQL has it, and each change is a message.
#
# A failure prints the seed, with which it can be run again:
#	KAFKA_FDW_SEED=... UPSERT_CHANGES=5000 prove -I t/lib t/088_upsert_differential.pl
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;

my $seed = $ENV{KAFKA_FDW_SEED} // (time ^ ($$ << 8)) % 1_000_000_000;
my $changes = $ENV{UPSERT_CHANGES} // 200;
my $node = KafkaFdw::Test->new_node('upsert_differential');
my %topic = map { $_ => KafkaFdw::Test->topic($_) } qw(loose tight);
my %columns = (loose => 'n numeric, t text, v text, big text', tight => 'k int, u int, w text');

note "KAFKA_FDW_SEED=$seed";

$node->safe_psql('postgres', qq{
	SELECT kafka_create_topic('$topic{loose}', 3), kafka_create_topic('$topic{tight}', 1);
	CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
	CREATE TABLE loose (n numeric, t text COLLATE any_case, v text, big text NOT NULL DEFAULT 'none', PRIMARY KEY (t, n));
	CREATE TABLE tight (k int PRIMARY KEY, u int UNIQUE, w text, UNIQUE (w));
	CREATE TABLE sent (id serial, topic text, partition int, key text, value text);
	CREATE FUNCTION pick(VARIADIC text[]) RETURNS text LANGUAGE sql AS 'SELECT \$1[1 + floor(random() * array_length(\$1, 1))]'});

# What happens to loose: a row comes, or changes all of its columns or all but one, or goes.
$node->safe_psql('postgres', <<'EOF_SQL');
CREATE FUNCTION change_loose(topic text) RETURNS void LANGUAGE plpgsql AS $$ <<change>>
DECLARE
	n text := pick('1', '1.0', '1.00', '2', '2.000', '-0', '0', 'NaN');
	t text := pick('a', 'A', 'é', 'É', 'b');
	v text := pick(NULL, '', 'x', repeat('long ', 1000), 'y' || random());
	big text := pick('', 'small', repeat('big', 2000), 'b' || random());
	key jsonb := jsonb_build_object('n', n, 't', t);
	part int := CASE WHEN n = 'NaN' THEN 2 ELSE (lower(t) = 'a')::int END;
	lacks bool := random() < 0.4 AND EXISTS (SELECT FROM loose l WHERE (l.n, l.t) = (change.n::numeric, change.t));
BEGIN
	IF random() < 0.3 THEN
		DELETE FROM loose l WHERE (l.n, l.t) = (change.n::numeric, change.t);
		IF random() < 0.5 THEN
			INSERT INTO sent VALUES (DEFAULT, topic, part, key, jsonb_build_object('op', 'd', 'before', pick(key::text, NULL)::jsonb));
		END IF;
		INSERT INTO sent VALUES (DEFAULT, topic, part, key, NULL);
		RETURN;
	END IF;
	IF lacks THEN
		UPDATE loose l SET v = change.v WHERE (l.n, l.t) = (change.n::numeric, change.t);
		big := '__debezium_unavailable_value';
	ELSE
		INSERT INTO loose VALUES (n::numeric, t, v, big) ON CONFLICT ON CONSTRAINT loose_pkey DO UPDATE SET v = excluded.v, big = excluded.big;
	END IF;
	INSERT INTO sent VALUES (DEFAULT, topic, part, key, jsonb_build_object('op', pick('c', 'u', 'r'), 'after', key || jsonb_build_object('v', v, 'big', big)));
END $$;

-- What happens to tight, where that does not hurt its constraints.
CREATE FUNCTION change_tight(topic text) RETURNS void LANGUAGE plpgsql AS $$ <<change>>
DECLARE
	k int := random() * 6;
	u int := NULLIF((random() * 7)::int, 0);
	w text := pick('a', 'b', 'c', 'd', 'e', 'f', NULL);
	what float := random();
	key text := jsonb_build_object('k', k);
BEGIN
	IF what < 0.02 THEN
		DELETE FROM tight;
		INSERT INTO sent VALUES (DEFAULT, topic, 0, NULL, '{"op": "t"}');
	ELSIF what < 0.04 THEN
		INSERT INTO sent VALUES (DEFAULT, topic, 0, NULL, '{"op": "m"}');
	ELSIF what < 0.3 THEN
		DELETE FROM tight t WHERE t.k = change.k;
		INSERT INTO sent VALUES (DEFAULT, topic, 0, key, NULL);
	ELSE
		INSERT INTO tight VALUES (k, u, w) ON CONFLICT ON CONSTRAINT tight_pkey DO UPDATE SET u = excluded.u, w = excluded.w;
		INSERT INTO sent VALUES (DEFAULT, topic, 0, key, jsonb_build_object('op', 'c', 'after', jsonb_build_object('k', k, 'u', u, 'w', w)));
	END IF;
EXCEPTION WHEN unique_violation THEN NULL;
END $$;
EOF_SQL

my $literal = $seed / 1_000_000_000;
$node->safe_psql('postgres', join ";\n", "SELECT setseed($literal)",
	(map { "SELECT change_$_('$topic{$_}') FROM generate_series(1, $changes)" } sort keys %topic),
	'SELECT count(kafka_send(topic, value, key, partition => partition)) FROM (SELECT * FROM sent ORDER BY id) s');

foreach my $table (sort keys %topic)
{
	my $state = sub { return $node->safe_psql('postgres', qq{SELECT x::text FROM $_[0] x ORDER BY x::text COLLATE "C"}); };
	my $expected = $state->($table);
	my ($sent) = $node->safe_psql('postgres', "SELECT count(*) FROM sent WHERE topic = '$topic{$table}'");

	$node->safe_psql('postgres',
		"CREATE FOREIGN TABLE ${table}_events ($columns{$table}) SERVER kafka OPTIONS (topic '$topic{$table}', format 'debezium')");
	foreach my $size (1, 2, 7, 100, 1000)
	{
		my $target = "${table}_$size";
		my $behind = "SELECT sum(o.value::bigint) < $sent FROM kafka_subscriptions, jsonb_each_text(offsets) o WHERE name = '$target'";

		$node->safe_psql('postgres', qq{
			CREATE TABLE $target (LIKE $table INCLUDING ALL);
			SELECT kafka_subscribe('$target', '${table}_events', '$target', mode => 'upsert', workers => 0, batch_size => $size)});
		for (1 .. $sent)
		{
			$node->safe_psql('postgres', join "\n", ("CALL kafka_ingest('$target');") x 50);
			last if $node->safe_psql('postgres', $behind) ne 't';
		}
		is($state->($target), $expected, "$table: $sent messages in batches of $size") or diag "KAFKA_FDW_SEED=$seed";
	}
}
done_testing();
