# 031_outbox_torture.pl
#		Clients commit and roll back while the relay, the server and Kafka are killed again and again: a
#		reader of committed messages finds what was committed, once each, the changes of a row in order.
#		OUTBOX_TORTURE says for how many seconds (default 15).
use strict;
use warnings;

use IPC::Run;
use KafkaFdw::Test;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $seconds = $ENV{OUTBOX_TORTURE} || 15;
my $clients = 3;

my $broker = KafkaFdw::Test->new_broker('torture');
my $node = KafkaFdw::Test->new_node('torture', $broker,
	server_options => q(message_timeout_ms '5s'),
	conf => "restart_after_crash = on\nshared_preload_libraries = 'kafka_fdw'\nmax_worker_processes = 20\n"
	  . "kafka_fdw.outbox_segment_size = '128kB'\nlog_statement = none\n");
my $topic = KafkaFdw::Test->topic('torture');

$node->safe_psql('postgres', qq{
	SELECT kafka_create_topic('$topic', 1, server => 'kafka');
	CREATE FOREIGN TABLE t ("offset" bigint, key text, value text) SERVER kafka OPTIONS (topic '$topic');
	CREATE TABLE counter AS SELECT id, 0 AS n FROM generate_series(1, 20) id;
	ALTER TABLE counter ADD PRIMARY KEY (id);
	CREATE TABLE expected (id int, n int);
	CREATE PROCEDURE change(row_id int) LANGUAGE plpgsql AS \$\$
	DECLARE
		new_n int;
	BEGIN
		UPDATE counter SET n = n + 1 WHERE id = row_id RETURNING n INTO new_n;
		INSERT INTO expected VALUES (row_id, new_n);
		PERFORM kafka_enqueue('$topic', row_id || ':' || new_n, row_id::text, server => 'kafka');
	END \$\$;
	CREATE PROCEDURE work(rounds int) LANGUAGE plpgsql AS \$\$
	DECLARE
		first_id int;
	BEGIN
		FOR i IN 1 .. rounds LOOP
			first_id := 1 + random() * 8;
			CALL change(first_id);
			BEGIN
				CALL change(10 + (random() * 9)::int);
				IF random() < 0.3 THEN RAISE 'rolled back to a savepoint'; END IF;
			EXCEPTION WHEN raise_exception THEN NULL;
			END;
			IF random() < 0.3 THEN ROLLBACK; ELSE COMMIT; END IF;
			PERFORM pg_sleep(random() * 0.01);
		END LOOP;
	END \$\$});

#----------------------------------------------------------------------
# The clients: each starts again when its server dies
#----------------------------------------------------------------------

my @clients;
for (1 .. $clients)
{
	my $command = 'while :; do psql -XAtq -d "$CONNSTR" -c "CALL work(1000000)"; sleep 0.1; done';
	my ($out, $err) = ('', '');

	local $ENV{CONNSTR} = $node->connstr('postgres');
	local $ENV{PGAPPNAME} = 'writer';
	push @clients,
	  { run => IPC::Run::start([ 'perl', '-MPOSIX', '-e', 'POSIX::setsid(); exec @ARGV', 'sh', '-c', $command ], '<', \undef, '>', \$out, '2>', \$err),
		err => \$err };
}

sub stop_clients
{
	foreach my $client (@clients)
	{
		my $pid = $client->{run}{KIDS}[0]{PID} or die 'a client has no process';

		kill 'KILL', -$pid;		# the shell, which setsid has made a group's first, and its psql
		$client->{run}->finish;
	}
	@clients = ();
	return;
}

#----------------------------------------------------------------------
# What happens to them
#----------------------------------------------------------------------

sub relay_pid
{
	my ($status, $out) = $node->psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'kafka_fdw relay'");
	return $status == 0 && $out =~ /^(\d+)/ ? $1 : undef;
}

# The last one that was told to end. It is gone when the server has taken note, which starts anew where it
# was killed.
my $victim;

sub strike_relay
{
	my ($signal) = @_;
	my $pid = relay_pid() or return;

	kill $signal, $pid or return;
	$victim = $pid;
	return;
}

my %blows = (
	relay => sub { strike_relay('KILL'); },
	terminate => sub { strike_relay('TERM'); },
	server => sub { $node->kill9; KafkaFdw::Test->start_killed($node); undef $victim; },
	broker => sub { $broker->kill; usleep(rand 1_500_000); $broker->start; },
	freeze => sub { $broker->pause; usleep(rand 3_000_000); $broker->resume; },
	# longer than a transaction may take: what was sent is aborted, and the relay fenced
	long_freeze => sub { $broker->pause; sleep 12; $broker->resume; });
my @order = qw(relay broker server freeze relay terminate server broker freeze relay);
my %struck;
my $end = time + $seconds;
my $i = 0;
my $committed = 0;

# A slow machine has longer, until there is something to look at.
while (time < $end || $committed <= 50 && time < $end + $PostgreSQL::Test::Utils::timeout_default)
{
	my $blow = $seconds > 60 && rand() < 0.05 ? 'long_freeze' : $order[$i++ % @order];

	usleep(300_000 + rand 700_000);
	$blows{$blow}->();
	$struck{$blow}++;
	my ($status, $count) = $node->psql('postgres', 'SELECT count(*) FROM expected');
	$committed = $count if $status == 0;
}
stop_clients();
KafkaFdw::Test->end_sessions($node, 'writer');
KafkaFdw::Test->wait_until(sub { return !$victim || !-e "/proc/$victim"; }) or die 'a relay does not end';
# A relay that was ended after the last commit leaves what waits to the next message.
$node->poll_query_until('postgres', 'SELECT true') or die 'the server does not start again';
$node->safe_psql('postgres', 'CALL change(1)');
note join ', ', map { "$_: $struck{$_}" } sort keys %struck;

#----------------------------------------------------------------------
# What has become of it
#----------------------------------------------------------------------

my $waited = time;
ok($node->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM kafka_outbox)'),
	'the outbox becomes empty')
  or diag $node->safe_psql('postgres', 'SELECT * FROM kafka_relays');
note sprintf 'it took %.1f s more', time - $waited;

KafkaFdw::Test->settle($node, $topic);
my $expected = $node->safe_psql('postgres', 'SELECT count(*) FROM expected');
cmp_ok($expected, '>', 50, "$expected changes were committed");
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT value) FROM t'), "$expected|$expected",
	'as many messages, and none twice');
is($node->safe_psql('postgres', q{
	SELECT * FROM (SELECT id || ':' || n FROM expected EXCEPT SELECT value FROM t) missing
	UNION ALL SELECT * FROM (SELECT value FROM t EXCEPT SELECT id || ':' || n FROM expected) wrong}),
	'', 'each change, and nothing that was rolled back');
is($node->safe_psql('postgres', q{
	SELECT key, n, previous FROM (
		SELECT key, n, lag(n) OVER (PARTITION BY key ORDER BY "offset") AS previous
		FROM (SELECT "offset", key, split_part(value, ':', 2)::int AS n FROM t) m) o
	WHERE n <> coalesce(previous, 0) + 1}), '', 'the changes of a row in order');
is($node->safe_psql('postgres', 'SELECT count(*) FROM kafka_dead_letters'), '0', 'no dead letters');
is($node->safe_psql('postgres', 'SELECT sent FROM kafka_relays'), $expected, 'the relay has counted them');
KafkaFdw::Test->becomes_true($node, q{SELECT state = 'running' FROM kafka_relays}, 'and runs', 'kafka_relays');

END
{
	stop_clients();
}

done_testing();
