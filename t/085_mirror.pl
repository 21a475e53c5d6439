# 085_mirror.pl
#		Tables of one server, kept equal on another by way of Kafka: a snapshot and then the changes of
#		concurrent writers, while relay, worker, both servers and the broker are killed. MIRROR_TORTURE
#		says for how many seconds (default 12).
use strict;
use warnings;

use IPC::Run;
use KafkaFdw::Test;
use Test::More;
use Time::HiRes qw(time usleep);

my $seconds = $ENV{MIRROR_TORTURE} || 12;
my $conf = "restart_after_crash = on\nshared_preload_libraries = 'kafka_fdw'\nmax_worker_processes = 20\nlog_statement = none\n";

my $broker = KafkaFdw::Test->new_broker('mirror');
my $origin = KafkaFdw::Test->new_node('origin', $broker, conf => $conf, server_options => q(message_timeout_ms '5s'));
my $mirror = KafkaFdw::Test->new_node('mirror', $broker, conf => $conf);
my %topic = map { $_ => KafkaFdw::Test->topic($_) } qw(items logs);

#----------------------------------------------------------------------
# The tables: one in three partitions, and one that is truncated now and then
#----------------------------------------------------------------------

my %columns = (
	items => 'id int, name text, price numeric, at timestamptz, day date, data bytea, doc jsonb, tags text[], span interval',
	logs => 'a int, b text, n bigint');
my %definition = (
	items => "$columns{items}, twice int GENERATED ALWAYS AS (id * 2) STORED, PRIMARY KEY (id)",
	logs => "$columns{logs}, PRIMARY KEY (a, b)");

$origin->safe_psql('postgres', qq{
	SELECT kafka_create_topic('$topic{items}', 3), kafka_create_topic('$topic{logs}', 1);
	CREATE TABLE items ($definition{items});
	CREATE TABLE logs ($definition{logs});
	INSERT INTO items SELECT id, 'first', id / 7.0, now(), '2024-02-29', '\\x00ff', '{"a": [1, null]}', '{x,NULL}', '1 day'
		FROM generate_series(1, 2000, 5) id;
	CREATE PROCEDURE change_items() LANGUAGE plpgsql AS \$\$
	DECLARE
		i int := random() * 300;
		j int := random() * 300;
	BEGIN
		CASE (random() * 4)::int
			WHEN 0 THEN INSERT INTO items VALUES (i, 'inserted', random(), clock_timestamp(), now(), decode(md5(random()::text), 'hex'),
				to_jsonb(md5(random()::text)), ARRAY[md5(random()::text)], random() * interval '1 day') ON CONFLICT DO NOTHING;
			WHEN 1 THEN UPDATE items SET name = 'updated', price = random(), doc = NULL WHERE id = i;
			WHEN 2 THEN DELETE FROM items WHERE id = i;
			WHEN 3 THEN UPDATE items SET id = j WHERE id = i;
			ELSE INSERT INTO items (id, name) VALUES (i, 'upserted') ON CONFLICT (id) DO UPDATE SET name = 'upserted again', at = clock_timestamp();
		END CASE;
	END \$\$;
	CREATE PROCEDURE change_logs() LANGUAGE plpgsql AS \$\$
	BEGIN
		IF random() < 0.01 THEN TRUNCATE logs; END IF;
		INSERT INTO logs VALUES (random() * 20, chr(97 + (random() * 5)::int), 1) ON CONFLICT (a, b) DO UPDATE SET n = logs.n + 1;
		IF random() < 0.2 THEN DELETE FROM logs WHERE a = (random() * 20)::int; END IF;
	END \$\$;
	CREATE PROCEDURE work(rounds int) LANGUAGE plpgsql AS \$\$
	BEGIN
		FOR i IN 1 .. rounds LOOP
			FOR n IN 1 .. 1 + (random() * 3)::int LOOP
				BEGIN
					CALL change_items();
					CALL change_logs();
				EXCEPTION WHEN unique_violation OR deadlock_detected THEN NULL;
				END;
			END LOOP;
			IF random() < 0.2 THEN ROLLBACK; ELSE COMMIT; END IF;
			PERFORM pg_sleep(random() * 0.01);
		END LOOP;
	END \$\$});

my @clients;
for (1 .. 3)
{
	my $command = 'while :; do psql -XAtq -d "$CONNSTR" -c "CALL work(1000000)"; sleep 0.1; done';
	my ($out, $err) = ('', '');

	local $ENV{CONNSTR} = $origin->connstr('postgres');
	local $ENV{PGAPPNAME} = 'writer';
	push @clients, IPC::Run::start([ 'perl', '-MPOSIX', '-e', 'POSIX::setsid(); exec @ARGV', 'sh', '-c', $command ],
		'<', \undef, '>', \$out, '2>', \$err);
}

# While they write.
$origin->safe_psql('postgres', qq{SELECT kafka_publish_table('$_', '$topic{$_}', snapshot => true)}) foreach sort keys %topic;
foreach my $table (sort keys %topic)
{
	$mirror->safe_psql('postgres', qq{
		CREATE FOREIGN TABLE ${table}_changes ($columns{$table}) SERVER kafka OPTIONS (topic '$topic{$table}', format 'debezium');
		CREATE TABLE $table ($definition{$table});
		SELECT kafka_subscribe('$table', '${table}_changes', '$table', mode => 'upsert')});
}

#----------------------------------------------------------------------
# What happens to them
#----------------------------------------------------------------------

sub kill_worker
{
	my ($node, $type) = @_;
	my ($status, $out) = $node->psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'kafka_fdw $type' ORDER BY random() LIMIT 1");

	kill 'KILL', $1 if $status == 0 && $out =~ /^(\d+)/;
	return;
}

sub kill_server
{
	my ($node) = @_;

	$node->kill9;
	KafkaFdw::Test->start_killed($node);
	return;
}

my %blows = (
	relay => sub { kill_worker($origin, 'relay'); },
	worker => sub { kill_worker($mirror, 'subscription'); },
	origin => sub { kill_server($origin); },
	mirror => sub { kill_server($mirror); },
	broker => sub { $broker->kill; usleep(rand 1_000_000); $broker->start; },
	pause => sub { $broker->pause; usleep(rand 2_000_000); $broker->resume; });
my @order = qw(worker relay mirror broker worker origin mirror worker pause);
my %struck;
my $end = time + $seconds;
my $i = 0;

# As many changes as there have to be, however busy the machine is.
sub has_changes
{
	my ($n) = @_;
	my ($status, $out) = $mirror->psql('postgres', 'SELECT sum(rows) FROM kafka_subscriptions');

	return $status == 0 && $out =~ /^(\d+)/ && $1 > $n;
}

while (time < $end || (time < $end + 180 && !has_changes(500)))
{
	my $blow = $order[$i++ % @order];

	usleep(300_000 + rand 900_000);
	$blows{$blow}->();
	$struck{$blow}++;
}
foreach my $client (@clients)
{
	my $pid = $client->{KIDS}[0]{PID} or die 'a client has no process';

	kill 'KILL', -$pid;			# the shell, which setsid has made a group's first, and its psql
	$client->finish;
}
KafkaFdw::Test->end_sessions($origin, 'writer');
note join ', ', map { "$_: $struck{$_}" } sort keys %struck;

#----------------------------------------------------------------------
# What has become of it
#----------------------------------------------------------------------

sub same
{
	my ($table, $what) = @_;
	my $key = $table eq 'items' ? 'id' : 'a, b';
	my $rows = "SELECT count(*) || ' ' || COALESCE(md5(string_agg(x::text, ' ' ORDER BY $key)), '') FROM $table x";
	# The last blow may not have been felt yet.
	my $expected = KafkaFdw::Test->answer($origin, $rows);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($mirror->poll_query_until('postgres', $rows, $expected), "$table: $what")
	  or diag join "\n", $expected, $mirror->safe_psql('postgres', $rows),
	  $origin->safe_psql('postgres', 'SELECT * FROM kafka_relays'), $mirror->safe_psql('postgres', 'SELECT * FROM kafka_subscriptions');
	note "$table: $expected";
	return;
}

my $waited = time;
same($_, 'the tables are equal') foreach sort keys %topic;
note sprintf 'it took %.1f s more', time - $waited;
KafkaFdw::Test->becomes_true($mirror, q{SELECT count(*) = 2 FROM kafka_subscriptions WHERE state = 'running' AND last_error IS NULL},
	'the subscriptions run', 'kafka_subscriptions');
my $changes = $mirror->safe_psql('postgres', q{SELECT sum(rows) FROM kafka_subscriptions});
cmp_ok($changes, '>', 500, "$changes changes of rows");

$origin->safe_psql('postgres', 'TRUNCATE items');
same('items', 'truncated');
$origin->safe_psql('postgres', q{INSERT INTO items (id, name) VALUES (1, 'last')});
same('items', 'and written again');
done_testing();
