# t/029_publish.pl
#		Changes of rows as a topic has them: a snapshot while others write, programs that know
#		Debezium's messages, a database of another encoding, and a server that may not send.
#
# DEBEZIUM_LIBS names the jars of t/interop/debezium; without it dev/debezium fetches them.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IPC::Run;
use JSON::PP;

use KafkaFdw::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $patience = $PostgreSQL::Test::Utils::timeout_default;
my $json = JSON::PP->new->utf8->canonical;
my $broker = KafkaFdw::Test->new_broker('publish');
my $node = KafkaFdw::Test->new_node('publish', $broker, server_options => "metadata_timeout '60s'", conf => 'max_worker_processes = 16');

sub sql
{
	my ($statement) = @_;

	return $node->safe_psql('postgres', $statement);
}

# A topic of one partition.
sub make_topic
{
	my ($name) = @_;
	my $topic = KafkaFdw::Test->topic($name);

	sql("SELECT kafka_create_topic('$topic', 1, server => 'kafka')");
	return $topic;
}

sub wait_for_relay
{
	$node->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM kafka_outbox)')
	  or die 'the outbox does not become empty: ' . sql('SELECT * FROM kafka_relays');
	return;
}

# A topic's messages, as pairs of key and value, decoded; a tombstone's value is undef.
sub messages
{
	my ($topic) = @_;

	KafkaFdw::Test->settle($node, $topic);
	my $text = sql(qq{SELECT json_build_array(key::json, value::json)
		FROM kafka_read('$topic', max_messages => 10000000, server => 'kafka') ORDER BY "offset"});

	return map { JSON::PP->new->decode($_) } split /\n/, $text;
}

#----------------------------------------------------------------------
# A snapshot while others write
#----------------------------------------------------------------------

# What a reader of the topic has in the end; fails where a message does not follow from the one before.
sub replay
{
	my ($topic, $name) = @_;
	my (%rows, %ops);
	my @wrong;

	foreach my $message (messages($topic))
	{
		my ($key, $value) = @$message;
		my $id = $key->{id};

		$ops{ $value ? $value->{op} : 'tombstone' }++;
		next unless $value;
		my $is = $rows{$id} ? $json->encode($rows{$id}) : 'nothing';
		my $was = $value->{before} ? $json->encode($value->{before}) : 'nothing';
		push @wrong, "$value->{op} of $id: $is, not $was" if $is ne $was;
		$rows{$id} = $value->{after};
		delete $rows{$id} if !$value->{after};
	}
	is_deeply(\@wrong, [], "$name: each message follows from the one before of its key");
	return (\%rows, \%ops);
}

sub table_rows
{
	my ($table) = @_;

	return { map { my $row = JSON::PP->new->decode($_); ($row->{id} => $row) }
		  split /\n/, sql("SELECT row_to_json(t) FROM $table t") };
}

sql(q{CREATE TABLE busy (id int PRIMARY KEY, v int NOT NULL) PARTITION BY HASH (id);
	CREATE TABLE busy_0 PARTITION OF busy FOR VALUES WITH (MODULUS 2, REMAINDER 0);
	CREATE TABLE busy_1 (v int NOT NULL, gone text, id int NOT NULL);
	ALTER TABLE busy_1 DROP COLUMN gone;
	ALTER TABLE busy ATTACH PARTITION busy_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
	CREATE SEQUENCE written});
my $script = "$PostgreSQL::Test::Utils::tmp_check/publish.sql";
open(my $file, '>', $script) or die "could not create $script: $!";
print $file q{\set id random(1, 300)
\set new random(301, 100000)
\set what random(1, 10)
BEGIN;
INSERT INTO busy VALUES (:id, 1) ON CONFLICT (id) DO UPDATE SET v = busy.v + 1;
INSERT INTO busy VALUES (:new, 1) ON CONFLICT DO NOTHING;
\if :what < 4
DELETE FROM busy WHERE id = :id;
\endif
SELECT nextval('written');
\if :what > 8
ROLLBACK;
\else
COMMIT;
\endif
};
close $file;

my $topic = make_topic('busy');
my ($out, $err) = ('', '');
local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;
my $writers = IPC::Run::start([ 'pgbench', '-n', '-c', '4', '-t', '1000000', '-f', $script, 'postgres' ],
	'<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(4 * $patience));
$node->poll_query_until('postgres', 'SELECT last_value > 1000 FROM written') or die 'nobody writes';
sql("SELECT kafka_publish_table('busy', '$topic', 'kafka', snapshot => true)");
my $before = sql('SELECT last_value FROM written');
ok($node->poll_query_until('postgres', "SELECT last_value > $before + 500 FROM written"), 'busy: they write afterwards too');
# In the midst of it. What its sessions are at is rolled back as soon as they notice.
$writers->kill_kill(grace => 0);
is($err =~ /ERROR|FATAL|deadlock|aborted/ ? $err : '', '', 'busy: no writer fails');
KafkaFdw::Test->end_sessions($node, 'pgbench');
wait_for_relay();
my ($rows, $ops) = replay($topic, 'busy');
is_deeply($rows, table_rows('busy'), 'busy: a reader has the table in the end');
cmp_ok($ops->{r}, '>', 300, 'busy: rows of the snapshot');
cmp_ok($ops->{$_}, '>', 10, "busy: op $_") foreach qw(c u d tombstone);

# Its own snapshot would be older than the commit that it waits for, in each isolation level.
my $writer = KafkaFdw::Test->session($node);
my $publisher = KafkaFdw::Test->session($node);
foreach my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	$topic = make_topic('late');
	sql(q{DROP TABLE IF EXISTS late; CREATE TABLE late (id int PRIMARY KEY, v int); INSERT INTO late VALUES (1, 1)});
	$publisher->query("BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM late");
	$writer->query('BEGIN; INSERT INTO late VALUES (2, 1); UPDATE late SET v = 2 WHERE id = 1');
	$publisher->send("SELECT kafka_publish_table('late', '$topic', 'kafka', snapshot => true)");
	$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_locks WHERE relation = 'late'::regclass AND NOT granted})
	  or die 'nobody waits for the table';
	$writer->query('COMMIT');
	$publisher->finish;
	is($publisher->stderr, '', "$level: published");
	# Now the others wait.
	$writer->send('UPDATE late SET v = 3 WHERE id = 2');
	$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_locks WHERE relation = 'late'::regclass AND NOT granted})
	  or die 'the writer does not wait';
	$publisher->query('COMMIT');
	$writer->finish;
	is($publisher->stderr . $writer->stderr, '', "$level: committed");
	wait_for_relay();
	($rows, $ops) = replay($topic, $level);
	is_deeply($rows, { 1 => { id => 1, v => 2 }, 2 => { id => 2, v => 3 } }, "$level: no gap");
	is_deeply($ops, { r => 2, u => 1 }, "$level: and no repeat");
}
$topic = make_topic('taken_back');
sql("BEGIN; SELECT kafka_publish_table('late', '$topic', 'kafka', snapshot => true); ROLLBACK; UPDATE late SET v = 4");
wait_for_relay();
is(sql("SELECT count(*) FROM kafka_read('$topic', server => 'kafka')"), '0', 'rolled back: nothing is published');

#----------------------------------------------------------------------
# Programs that know Debezium's messages
#----------------------------------------------------------------------

my $libs = $ENV{DEBEZIUM_LIBS} // '';
my $root = abs_path(dirname(__FILE__) . '/..');
if ($libs eq '')
{
	IPC::Run::run([ "$root/dev/debezium" ], '>', \$libs, '2>', \$err) or $libs = '';
	chomp $libs;
}
SKIP:
{
	if ($libs eq '')
	{
		die "could not fetch Debezium: $err" if $ENV{CI};
		skip "could not fetch Debezium: $err", 3;
	}

	$topic = make_topic('items');
	sql(qq{CREATE TABLE items (id int PRIMARY KEY, name text, price numeric, made timestamptz, data bytea);
		INSERT INTO items VALUES (1, 'old "one"', 1.50, '2024-02-29 12:00:00.5+00', '\\x00ff');
		SELECT kafka_publish_table('items', '$topic', 'kafka', snapshot => true);
		INSERT INTO items VALUES (2, 'new', 'NaN', 'infinity', NULL);
		UPDATE items SET name = 'changed' WHERE id = 1;
		UPDATE items SET id = 3 WHERE id = 2;
		DELETE FROM items WHERE id = 1});
	my $read = '';
	IPC::Run::run([ 'java', '-cp', "$libs/*", "$root/t/interop/debezium/Debezium.java", $broker->bootstrap, $topic, 8 ],
		'>', \$read, '2>', \$err, IPC::Run::timeout(2 * $patience))
	  or die "Debezium.java failed: $err";

	my $old = { id => 1, name => 'old "one"', price => '1.50', made => '2024-02-29T12:00:00.5Z', data => 'AP8=' };
	my $changed = { %$old, name => 'changed' };
	my $new = { id => 2, name => 'new', price => 'NaN', made => 'infinity', data => undef };
	my $moved = { %$new, id => 3 };
	my @expected = (
		[ 1, 'r', undef, $old, $old ],
		[ 2, 'c', undef, $new, $new ],
		[ 1, 'u', $old, $changed, $changed ],
		[ 2, 'd', $new, undef, 'tombstone' ],
		[ 2, undef, undef, undef, 'dropped' ],
		[ 3, 'c', undef, $moved, $moved ],
		[ 1, 'd', $changed, undef, 'tombstone' ],
		[ 1, undef, undef, undef, 'dropped' ]);
	my @names = qw(key op before after unwrapped);
	my @lines = map { $json->decode($_) } split /\n/, $read;
	is_deeply(\@lines, [ map { my $row = $_; +{ map { $names[$_] => $row->[$_] } 0 .. $#names } } @expected ],
		"Debezium's classes read what is published")
	  or diag $read, $err;

	# The other way round: what they write becomes a table again.
	my $values = q(2024-02-29|2024-02-29 12:00:00.123456|2024-02-29 12:00:00.123|2024-02-29 12:00:00.5+00|12:00:00.000001|-01:01:00)
	  . qq(|%s|-12345678901234567890.123|{"a": [1, "\x{c3}\x{bc}"]}|\\x00ff|{1970-01-01,2024-02-29});
	my @events = map { sprintf "%s|2024-02-29 12:00:00+00|%d|$values", @$_ }
	  [ 'c', 1, '-1.50' ], [ 'c', 2, '12345678901234567890.25' ], [ 'u', 2, '0.01' ], [ 'd', 1, '-1.50' ];
	foreach my $schemas (qw(true false))
	{
		my $columns = q{id int, day date, at timestamp, at3 timestamp(3), zoned timestamptz, "time" time, span interval, price numeric,
			"any" numeric, doc jsonb, data bytea, days date[]};

		$topic = make_topic("written_$schemas");
		IPC::Run::run([ 'java', '-cp', "$libs/*", "$root/t/interop/debezium/Write.java", $broker->bootstrap, $topic, $schemas ],
			'>', \$read, '2>', \$err, IPC::Run::timeout(2 * $patience))
		  or die "Write.java failed: $err";
		is(sql(qq{SET timezone = 'UTC';
			CREATE FOREIGN TABLE written_$schemas (op text OPTIONS (debezium 'op'), ts timestamptz OPTIONS (debezium 'ts_ms'), $columns)
				SERVER kafka OPTIONS (topic '$topic', format 'debezium');
			CREATE TABLE mirror_$schemas ($columns, PRIMARY KEY (id));
			SELECT * FROM written_$schemas;
			SELECT kafka_subscribe('mirror_$schemas', 'written_$schemas', 'mirror_$schemas', mode => 'upsert', workers => 0);
			CALL kafka_ingest('mirror_$schemas');
			SELECT * FROM mirror_$schemas}), join("\n", @events, '||1|||||||||||', '', sprintf("2|$values", '0.01')),
			"what Debezium's classes write is read, schemas.enable=$schemas");
	}
}

#----------------------------------------------------------------------
# A database of another encoding
#----------------------------------------------------------------------

$topic = make_topic('latin');
$node->safe_psql('postgres', q{CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0});
my $bootstrap = $broker->bootstrap;
$node->safe_psql('latin', qq{
	SET client_encoding = 'UTF8';
	CREATE EXTENSION kafka_fdw;
	CREATE SERVER "k\x{c3}\x{a4}fka" FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers '$bootstrap');
	CREATE TABLE "\x{c3}\x{a4}" ("\x{c3}\x{b6}" text PRIMARY KEY, j json, e text);
	CREATE TRIGGER t AFTER INSERT OR UPDATE ON "\x{c3}\x{a4}" FOR EACH ROW EXECUTE FUNCTION
		kafka_publish('$topic', 'delivery=immediate', 'key="\x{c3}\x{b6}"', 'headers={"h\x{c3}\x{bc}": "\x{c3}\x{bc}"}');
	INSERT INTO "\x{c3}\x{a4}" VALUES ('\x{c3}\x{9f}', '{"a": "\\u00e9\\u20ac"}', '\x{c3}\x{a9}');
	UPDATE "\x{c3}\x{a4}" SET "\x{c3}\x{b6}" = 'x'});
my $found = sql(qq{SELECT key, value::json ->> 'before' AS before, value::json ->> 'after' AS after, value::json -> 'source' ->> 'table' AS "table",
	value::json -> 'source' ->> 'name' AS server, headers FROM kafka_read('$topic', server => 'kafka')});
my $row = qq({"\x{c3}\x{b6}":"\x{c3}\x{9f}","j":{"a": "\\u00e9\\u20ac"},"e":"\x{c3}\x{a9}"});
my $later = $row =~ s/\x{c3}\x{9f}/x/r;
my $header = qq("h\x{c3}\x{bc}": "\x{c3}\x{bc}");
my $where = "\x{c3}\x{a4}|k\x{c3}\x{a4}fka";
my ($old_key, $new_key) = (qq({"\x{c3}\x{b6}":"\x{c3}\x{9f}"}), qq({"\x{c3}\x{b6}":"x"}));

sub quoted { my ($text) = @_; return '"' . $text =~ s/"/\\"/gr . '"'; }

is($found, join("\n",
	qq($old_key||$row|$where|{$header}),
	"$old_key|$row||$where|{$header, \"__debezium.newkey\": " . quoted($new_key) . '}',
	"$old_key|||||{$header}",
	"$new_key||$later|$where|{$header, \"__debezium.oldkey\": " . quoted($old_key) . '}'), 'LATIN1: all of it is in UTF-8');

#----------------------------------------------------------------------
# A server that may not send
#----------------------------------------------------------------------

$topic = make_topic('mode');
sql("CREATE TABLE moded (id int PRIMARY KEY); SELECT kafka_publish_table('moded', '$topic', 'kafka')");
$node->append_conf('postgresql.conf', "kafka_fdw.mode = 'read_only'");
$node->reload;
# The session that writes is an old one.
KafkaFdw::Test->wait_until(sub { return $publisher->query('SHOW kafka_fdw.mode') eq 'read_only' })
  or die 'the mode does not change';
my ($state, $text) = $publisher->failure('INSERT INTO moded VALUES (1)');
is($state, '55000', 'read_only: a table that is published is not written');
is(sql('SELECT count(*) FROM moded'), '0', 'read_only: not at all');

$_->quit foreach $writer, $publisher;
done_testing();
