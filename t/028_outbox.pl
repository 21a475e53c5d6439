# 028_outbox.pl
#		The outbox and its relay: what is committed arrives once and in order; what Kafka refuses is kept;
#		who may do what; what stops a relay, and what does not. 031_outbox_torture.pl has the crashes,
#		032_outbox_copies.pl standbys, clones and dumps.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;
use Time::HiRes qw(time);

my $broker = KafkaFdw::Test->new_broker('outbox');
my $node = KafkaFdw::Test->new_node('outbox', $broker,
	server_options => q(metadata_timeout '2s', message_timeout_ms '3s'),
	conf => "max_worker_processes = 12\nkafka_fdw.relay_naptime = '60s'\nmax_prepared_transactions = 2\n"
	  . "kafka_fdw.outbox_segment_size = '64kB'");
KafkaFdw::Test->create_server($node, 'patient', $broker, "metadata_timeout '60s'");
my $topic = KafkaFdw::Test->topic('outbox');
my $session = KafkaFdw::Test->session($node);

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub wait_for { return KafkaFdw::Test->becomes_true($node, @_[ 1, 0 ], 'kafka_relays'); }

sub wait_for_empty_outbox
{
	wait_for('the outbox becomes empty' . (@_ ? ": $_[0]" : ''),
		'SELECT NOT EXISTS (SELECT FROM kafka_outbox)');
	KafkaFdw::Test->settle($node, $topic, 'patient');
	return;
}

sub wait_for_no_relay
{
	wait_for($_[0], q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'kafka_fdw relay'});
	return;
}

# What arrived past an offset.
sub arrived
{
	return sql('SELECT value FROM t WHERE "offset" >= ' . ($_[0] // 0) . ' ORDER BY "offset"');
}

# The end of the topic, the markers of transactions among its offsets.
sub end_offset
{
	return sql("SELECT high FROM kafka_partitions('$topic', 'patient')");
}

sub enqueue
{
	my ($value, $rest) = @_;

	return sql("SELECT kafka_enqueue('$topic', $value" . ($rest // '') . ", server => 'kafka')");
}

sub enqueue_to
{
	my ($server, $value) = @_;

	return sql("SELECT kafka_enqueue('$topic', '$value', server => '$server')");
}

# Change the server's options, and have its relay use them: at the moment it may be in the midst of looking
# for messages, with those from before.
sub alter_server
{
	my ($options) = @_;

	sql("ALTER SERVER kafka OPTIONS ($options)");
	enqueue(q('options'));
	wait_for_empty_outbox("with $options");
	return;
}

sql(qq{
	SELECT kafka_create_topic('$topic', 1, server => 'patient');
	CREATE FOREIGN TABLE t ("offset" bigint, "timestamp" timestamptz, key text, value text, headers jsonb)
		SERVER patient OPTIONS (topic '$topic')});

#----------------------------------------------------------------------
# It starts by itself, and sends what is committed
#----------------------------------------------------------------------

$session->query(qq{BEGIN;
	SELECT kafka_enqueue('$topic', 'one', server => 'kafka');
	SELECT kafka_enqueue('$topic', '\\x74776f'::bytea, '\\x6b'::bytea, headers => '{"h": "1", "n": null}',
		"timestamp" => '2026-01-02 03:04:05.678+00', server => 'kafka');
	SAVEPOINT s;
	SELECT kafka_enqueue('$topic', 'not', server => 'kafka');
	ROLLBACK TO s;
	SELECT kafka_enqueue('$topic', '', 'empty', 0, server => 'kafka');
	SELECT kafka_enqueue('$topic', NULL::text, 'gone', server => 'kafka')});
is($session->stderr, '', 'enqueued');
is(sql('SELECT count(*) FROM kafka_outbox'), '0', 'nobody else sees it yet');
is($session->query('SELECT count(*) FROM kafka_outbox'), '4', 'the transaction itself does');
$session->query('COMMIT');
is($session->stderr, '', 'committed');
wait_for_empty_outbox();
is(arrived(), "one\ntwo\n\n", 'committed messages arrive, in order');
is(sql(q{SELECT key, value IS NULL, headers FROM t ORDER BY "offset" OFFSET 1}),
	"k|f|{\"h\": \"1\", \"n\": null}\nempty|f|{}\ngone|t|{}", 'with their keys and headers, NULL or empty');
is(sql(q{SELECT "timestamp" = '2026-01-02 03:04:05.678+00' FROM t WHERE value = 'two'}), 't',
	'and the timestamp that was given');
is(sql('SELECT state, waiting, sent, refused FROM kafka_relays'), 'running|0|4|0', 'the relay says so');
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'kafka_fdw relay'
	AND pid = (SELECT pid FROM kafka_relays)}), '1', 'and is seen in pg_stat_activity');

# It is woken: its naptime is a minute.
my $start = time;
enqueue(q('woken'));
wait_for_empty_outbox('woken by the commit');
cmp_ok(time - $start, '<', 45, 'long before its naptime is over');

# Where nothing comes it does nothing: its thread is not even woken, once what was sent is tidied up.
sub switches
{
	my ($n) = PostgreSQL::Test::Utils::slurp_file('/proc/' . $_[0] . '/task/' . $_[0] . '/status') =~ /^voluntary_ctxt_switches:\s+(\d+)/m;

	return $n;
}
my $sleeper = sql('SELECT pid FROM kafka_relays');
ok( KafkaFdw::Test->wait_until(
		sub { my $before = switches($sleeper); sleep 3; return switches($sleeper) == $before; }),
	'a relay is quiet while nothing comes');

# Savepoints that took the lock, and deeper ones
my $end = end_offset();
$session->query(qq{BEGIN;
	SAVEPOINT a;
	SELECT kafka_enqueue('$topic', 'no', server => 'kafka');
	ROLLBACK TO a;
	SAVEPOINT b;
	SAVEPOINT c;
	SELECT kafka_enqueue('$topic', 'yes', server => 'kafka');
	RELEASE c;
	RELEASE b;
	COMMIT});
wait_for_empty_outbox('savepoints');
is(arrived($end), 'yes', 'only what no savepoint took back');

# A prepared transaction
$end = end_offset();
sql(qq{BEGIN; SELECT kafka_enqueue('$topic', 'prepared', server => 'kafka'); PREPARE TRANSACTION 'p'});
is(sql('SELECT count(*) FROM kafka_outbox'), '0', 'a prepared transaction is not committed');
sql(q{COMMIT PREPARED 'p'});
enqueue(q('after'));
wait_for_empty_outbox('prepared');
is(arrived($end), "prepared\nafter", 'it is sent once it is');
wait_for('it is alone', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'kafka_fdw relay'});
kill 'TERM', sql('SELECT pid FROM kafka_relays');
wait_for('no relay runs', q{SELECT state = 'down' FROM kafka_relays});
sql(qq{BEGIN; SELECT kafka_enqueue('$topic', 'prepared', server => 'kafka'); PREPARE TRANSACTION 'p'});
wait_for('a prepared transaction starts one', q{SELECT state = 'running' FROM kafka_relays});
is(sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid IS NULL}), '0',
	'and keeps nobody else from it');
sql(q{ROLLBACK PREPARED 'p'});

#----------------------------------------------------------------------
# Order is that of the ids, whoever commits first
#----------------------------------------------------------------------

# The first transaction is open while later ones commit and are sent; then its rows are.
$end = end_offset();
$session->query(qq{BEGIN; SELECT kafka_enqueue('$topic', 'early', server => 'kafka')});
enqueue(q('late'));
wait_for_empty_outbox('the later one');
for my $round (1 .. 3)
{
	enqueue("'later $round'");
	wait_for_empty_outbox("and later ones: $round");
}
$session->query('COMMIT');
wait_for_empty_outbox('the earlier one');
is(arrived($end), "late\nlater 1\nlater 2\nlater 3\nearly", 'a transaction that was open for long is not missed');

#----------------------------------------------------------------------
# What Kafka refuses
#----------------------------------------------------------------------

$end = end_offset();
$session->query(qq{BEGIN;
	SELECT kafka_enqueue('$topic', 'before', server => 'kafka');
	SELECT kafka_enqueue('$topic', repeat('x', 1100000), 'large', headers => '{"a": "b"}', server => 'kafka');
	SELECT kafka_enqueue('nowhere-$topic', 'lost', server => 'kafka');
	SELECT kafka_enqueue('$topic', 'aside', partition => 7, server => 'kafka');
	SELECT kafka_enqueue('$topic', 'behind', server => 'kafka');
	COMMIT});
wait_for_empty_outbox('refused messages do not hold up the others');
is(arrived($end), "before\nbehind", 'these are sent');
my $letters = sql(q{SELECT topic LIKE 'nowhere%', partition, octet_length(value), encode(key, 'escape'),
	headers[1].name, role, relay FROM kafka_dead_letters ORDER BY octet_length(value)});
is($letters, "t||4|||postgres|kafka\nf|7|5|||postgres|kafka\nf||1100000|large|a|postgres|kafka",
	'those are kept whole');
like(sql(q{SELECT error FROM kafka_dead_letters WHERE topic LIKE 'nowhere%'}), qr/Unknown topic/,
	'with the reason');
like(sql(q{SELECT error FROM kafka_dead_letters WHERE partition = 7}), qr/no partition 7/, 'for each');
like(sql(q{SELECT error FROM kafka_dead_letters WHERE key = 'large'}), qr/too large/i, 'of them');
is(sql('SELECT refused FROM kafka_relays'), '3', 'and are counted');
sql('DELETE FROM kafka_dead_letters');

# A topic that is made while it is waited for
$start = time;
alter_server(q{SET metadata_timeout '60s'});
sql(qq{SELECT kafka_enqueue('soon-$topic', 'in time', server => 'kafka')});
sql(qq{SELECT kafka_create_topic('soon-$topic', 1, server => 'kafka')});
wait_for_empty_outbox('a topic that comes late');
is(sql('SELECT count(*) FROM kafka_dead_letters'), '0', 'is not refused');
alter_server(q{SET metadata_timeout '2s'});

# outbox_on_error 'stop'
alter_server(q{ADD outbox_on_error 'stop'});
$end = end_offset();
sql(qq{SELECT kafka_enqueue('$topic', 'x', partition => 9, server => 'kafka')});
wait_for('outbox_on_error stop stops it', q{SELECT state = 'stopped' FROM kafka_relays});
enqueue(q('waits'));
is(sql('SELECT waiting FROM kafka_relays'), '2', 'what comes after it waits');
like(sql('SELECT last_error FROM kafka_relays'), qr/refuses message \d+ of the outbox, for topic "\Q$topic\E".*no partition 9/,
	'the reason is shown');
sql(q{ALTER SERVER kafka OPTIONS (SET outbox_on_error 'dead_letter'); SELECT kafka_relay_start('kafka')});
wait_for_empty_outbox('started again');
is(arrived($end), 'waits', 'it goes on');
is(sql('SELECT count(*) FROM kafka_dead_letters'), '1', 'without the one');
sql('DELETE FROM kafka_dead_letters');

#----------------------------------------------------------------------
# Stopping
#----------------------------------------------------------------------

sql(q{SELECT kafka_relay_stop('kafka')});
wait_for_no_relay('kafka_relay_stop() ends it');
$end = end_offset();
enqueue(q('stopped'));
is(sql('SELECT state, waiting, pid IS NULL, oldest <= now(), bytes > 0 FROM kafka_relays'), 'stopped|1|t|t|t',
	'a message does not start it again');
is(sql('SELECT server, topic, waiting, oldest <= now(), bytes > 0 FROM kafka_outbox_stats'),
	"kafka|$topic|1|t|t", 'kafka_outbox_stats counts by topic');
sql(q{SELECT kafka_relay_start('kafka')});
wait_for_empty_outbox('kafka_relay_start() does');
is(arrived($end), 'stopped', 'the message is sent');

# Stopping is for all of a server's relays, also for one that comes later: of a user mapping without messages so far.
sql(q{CREATE ROLE late; GRANT USAGE ON FOREIGN SERVER kafka TO late;
	CREATE USER MAPPING FOR late SERVER kafka OPTIONS (sasl_username 'late', sasl_password 'late');
	SELECT kafka_relay_stop('kafka')});
wait_for_no_relay('stopped again');
sql(qq{SET ROLE late; SELECT kafka_enqueue('$topic', 'late', server => 'kafka')});
wait_for('a relay that comes later is stopped, too', q{SELECT state = 'stopped' FROM kafka_relays WHERE mapping = 'late'});
wait_for_no_relay('and ends');
is(sql(q{SELECT string_agg(state || waiting, ' ') FROM kafka_relays}), 'stopped0 stopped1', 'nothing is sent');
sql(q{SELECT kafka_relay_start('kafka')});
wait_for_empty_outbox('until both are started');
is(arrived($end), "stopped\nlate", 'both send');

# A relay whose user mapping was dropped is forgotten, as soon as none of its messages is left in a table.
sql(q{DROP USER MAPPING FOR late SERVER kafka; DROP OWNED BY late; DROP ROLE late});
for my $round (1 .. 4)
{
	sql(qq{SELECT count(kafka_enqueue('$topic', repeat('x', 200), server => 'kafka')) FROM generate_series(1, 1000)});
	wait_for_empty_outbox("tables are changed, round $round");
}
wait_for('the relay of a user mapping that was dropped ends, and is forgotten', q{
	SELECT count(*) = 1 AND (SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'kafka_fdw relay') FROM kafka_relays});

# One that is wanted again before it has ended goes on, or another one does.
for my $round (1 .. 10)
{
	sql(q{SELECT kafka_relay_stop('kafka')});
	sql(q{SELECT kafka_relay_start('kafka')}) if $round % 2;
	$session->query(q{BEGIN; SELECT kafka_relay_start('kafka'); SELECT pg_sleep(0.05); COMMIT}) if $round % 2 == 0;
}
$end = end_offset();
enqueue(q('stopped and started'));
wait_for_empty_outbox('stopped and started again and again');

# Other names
sql(q{ALTER SERVER kafka RENAME TO renamed});
enqueue_to('renamed', 'a renamed server');
wait_for_empty_outbox('a renamed server');
is(sql('SELECT server FROM kafka_relays'), 'renamed', 'is shown by its name');
sql(q{ALTER SERVER renamed RENAME TO kafka; ALTER SCHEMA public RENAME TO elsewhere});
sql(qq{SET search_path = elsewhere; SELECT kafka_enqueue('$topic', 'a renamed schema', server => 'kafka')});
KafkaFdw::Test->becomes_true($node, 'SELECT NOT EXISTS (SELECT FROM elsewhere.kafka_outbox)',
	'a renamed schema of the extension', 'elsewhere.kafka_relays');
sql(q{ALTER SCHEMA elsewhere RENAME TO public});
enqueue(q('names'));
wait_for_empty_outbox('as they were');

# Killed, it comes again by itself; its server's restart needs a message without preloading. Those that
# were started above wait a second for its place, and one of them would take it.
wait_for('it is alone', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'kafka_fdw relay'});
kill 'TERM', sql('SELECT pid FROM kafka_relays');
wait_for_no_relay('terminated');
is(sql('SELECT state FROM kafka_relays'), 'down', 'kafka_relays says that it is down');
enqueue(q('after a kill'));
wait_for_empty_outbox('a message starts it again');
$session->quit;
$node->restart;
enqueue(q('after a restart'));
wait_for_empty_outbox('after a restart');

#----------------------------------------------------------------------
# Kafka away
#----------------------------------------------------------------------

$end = end_offset();
$broker->kill;
enqueue(q('without Kafka'));
wait_for('without Kafka it waits, and says why',
	q{SELECT state = 'waiting' AND last_error IS NOT NULL AND waiting = 1 FROM kafka_relays});
is(sql('SELECT waiting FROM kafka_relays'), '1', 'the message is kept');
# It tries again, each time later, whatever else is stored meanwhile: after half a second, one, two, four, and
# then five. (A busy machine adds to that, and takes nothing away.)
my @tries = (sql('SELECT extract(epoch FROM last_error_at) FROM kafka_relays'));
while (@tries < 6)
{
	sql(qq{SELECT kafka_enqueue('$topic', 'without Kafka ' || count(*), server => 'kafka') FROM kafka_outbox});
	my $try = sql('SELECT extract(epoch FROM last_error_at) FROM kafka_relays');
	push @tries, $try if $try != $tries[-1];
}
cmp_ok($tries[5] - $tries[4], '>', 5, 'it backs off');
$broker->start;
wait_for_empty_outbox('Kafka is back');
like(arrived($end), qr/\Awithout Kafka(\nwithout Kafka \d+)+\z/, 'and has it');
is(sql(qq{SELECT count(*) - count(DISTINCT value) FROM t WHERE value LIKE 'without Kafka%'}), '0', 'once');

# The server stops at once while the relay waits for a frozen broker.
$broker->pause;
enqueue(q('frozen'));
$start = time;
$node->stop('fast');
cmp_ok(time - $start, '<', 60, 'the server stops while the broker is frozen');
$broker->resume;
$node->start;
sql(q{SELECT kafka_relay_start('kafka')});
wait_for_empty_outbox('the broker thawed');

#----------------------------------------------------------------------
# Rotation: an old snapshot neither keeps the tables nor slows the relay
#----------------------------------------------------------------------

$session = KafkaFdw::Test->session($node);
my $before = sql('SELECT count(*) FROM t');
$session->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class');
for my $round (1 .. 12)
{
	sql(qq{SELECT count(kafka_enqueue('$topic', repeat('x', 200), server => 'kafka')) FROM generate_series(1, 1000)});
	wait_for_empty_outbox("an old snapshot, round $round");
}
is(sql('SELECT count(*) FROM t') - $before, 12_000, 'all are sent');
wait_for('the tables are emptied in turn', q{SELECT sum(pg_relation_size('kafka_outbox_' || n)) < 1000000
	FROM generate_series(0, 2) n});
$session->query('COMMIT');

#----------------------------------------------------------------------
# Limits and settings
#----------------------------------------------------------------------

sql(q{SELECT kafka_relay_stop('kafka')});
wait_for_no_relay('stopped for the limits');
my ($status, $out, $err) = $node->psql('postgres', qq{SET kafka_fdw.outbox_max_size = '1MB';
	SELECT count(kafka_enqueue('$topic', repeat(md5(n::text), 200), server => 'kafka')) FROM generate_series(1, 1000000) n});
like($err, qr/ERROR:  the outbox for Kafka is full/, 'the outbox has a limit');
like($err, qr/HINT:  The view kafka_relays/, 'and says where to look');
is(sql('SELECT count(*) FROM kafka_outbox'), '0', 'such a statement stores nothing');
($status, $out, $err) = $node->psql('postgres', qq{SET kafka_fdw.outbox_max_size = '1MB';
	SET kafka_fdw.outbox_when_full = warning; SELECT kafka_enqueue('$topic', 'v', server => 'kafka')});
like($err, qr/WARNING:  the outbox for Kafka is full/, 'or it only warns');
is(sql('SELECT count(*) FROM kafka_outbox'), '1', 'and stores the message');
sql(q{SELECT kafka_relay_start('kafka')});
wait_for_empty_outbox('and goes on');

foreach my $mode ('read_only', 'off')
{
	$node->append_conf('postgresql.conf', "kafka_fdw.mode = '$mode'");
	$node->reload;
	wait_for("mode $mode", "SELECT current_setting('kafka_fdw.mode') = '$mode'");
	($status, $out, $err) = $node->psql('postgres', "SELECT kafka_enqueue('$topic', 'v', server => 'kafka')");
	like($err, qr/cannot execute kafka_enqueue\(\) while "kafka_fdw.mode" is "$mode"/, "refused in mode $mode");
	($status, $out, $err) = $node->psql('postgres', "CREATE DATABASE other;\nSET statement_timeout = '40s';\nDROP DATABASE other");
	is($err, '', 'the relay, which sleeps, holds nobody up');
}
$node->append_conf('postgresql.conf', q(kafka_fdw.mode = 'on'));
$node->reload;
wait_for('mode on', q{SELECT current_setting('kafka_fdw.mode') = 'on'});
enqueue(q('again'));
wait_for_empty_outbox('mode on again');
($status, $out, $err) = $node->psql('postgres', "SET default_transaction_read_only = on;
	SELECT kafka_enqueue('$topic', 'v', server => 'kafka')");
like($err, qr/cannot execute kafka_enqueue\(\) in a read-only transaction/, 'refused in a read-only transaction');

#----------------------------------------------------------------------
# Rights
#----------------------------------------------------------------------

sql(q{CREATE ROLE writer; CREATE ROLE other; CREATE ROLE watcher; GRANT pg_monitor TO watcher;
	GRANT USAGE ON FOREIGN SERVER kafka TO writer; SELECT kafka_relay_stop('kafka')});
wait_for_no_relay('stopped for the rights');
sql(qq{SET ROLE writer; SELECT kafka_enqueue('$topic', 'of writer', server => 'kafka')});
is(sql(q{SET ROLE writer; SELECT role, encode(value, 'escape') FROM kafka_outbox}), 'writer|of writer',
	'a role sees its own messages');
is(sql(q{SET ROLE other; SELECT count(*) FROM kafka_outbox}), '0', 'and no others');
is(sql(q{SET ROLE watcher; SELECT count(*) FROM kafka_outbox}), '0', 'nor does one who watches');
is(sql(q{SET ROLE watcher; SELECT waiting FROM kafka_relays}), '1', 'who sees how many there are');
foreach my $attempt (
	[ 'other', "SELECT kafka_enqueue('$topic', 'v', server => 'kafka')", 'foreign server kafka' ],
	[ 'other', 'SELECT * FROM kafka_relays', 'view kafka_relays' ],
	[ 'writer', "SELECT kafka_relay_stop('kafka')", 'function kafka_relay_stop' ],
	[ 'writer', 'SELECT kafka_adopt()', 'function kafka_adopt' ],
	[ 'writer', 'SELECT * FROM kafka_outbox_rows', 'view kafka_outbox_rows' ],
	[ 'writer', 'SELECT * FROM kafka_outbox_0', 'table kafka_outbox_0' ],
	[ 'writer', 'INSERT INTO kafka_outbox_0 SELECT', 'table kafka_outbox_0' ],
	[ 'writer', 'UPDATE kafka_relay_progress SET last_id = 0', 'table kafka_relay_progress' ],
	[ 'writer', "SELECT nextval('kafka_outbox_id')", 'sequence kafka_outbox_id' ])
{
	my ($role, $statement, $object) = @$attempt;

	($status, $out, $err) = $node->psql('postgres', "SET ROLE $role; $statement");
	like($err, qr/permission denied for $object/, "$role: $statement");
}

# Rights are looked at again when it is sent.
sql(q{REVOKE USAGE ON FOREIGN SERVER kafka FROM writer; SELECT kafka_relay_start('kafka')});
wait_for_empty_outbox('without the right');
is(sql(q{SET ROLE writer; SELECT error FROM kafka_dead_letters}),
	'role "writer" may not use server "kafka" any more', 'a message whose role may not send any more is kept');
is(sql(q{SET ROLE other; SELECT count(*) FROM kafka_dead_letters}), '0', 'for its role alone');
sql(q{SET ROLE writer; DELETE FROM kafka_dead_letters});
is(sql('SELECT count(*) FROM kafka_dead_letters'), '0', 'which may delete it');

#----------------------------------------------------------------------
# A server, an extension, a database that go away
#----------------------------------------------------------------------

KafkaFdw::Test->create_server($node, 'second', $broker);
sql(q{SELECT kafka_relay_stop('second')});
enqueue_to('second', 'orphan');
is(sql(q{SELECT state, waiting FROM kafka_relays WHERE server = 'second'}), 'stopped|1',
	'a relay can be stopped before it has ever run');
sql('DROP SERVER second');
for my $round (1 .. 4)
{
	sql(qq{SELECT count(kafka_enqueue('$topic', repeat('x', 200), server => 'kafka')) FROM generate_series(1, 1000)});
	wait_for("what is left of a dropped server is in nobody's way, round $round",
		q{SELECT NOT EXISTS (SELECT FROM kafka_outbox WHERE server = 'kafka')});
}
sql(q{SELECT kafka_relay_start('kafka')});
wait_for('and kept for its owner', q{SELECT encode(value, 'escape') = 'orphan' AND relay = 'second'
	FROM kafka_dead_letters});

wait_for('its relay is forgotten', q{SELECT count(*) = 1 FROM kafka_relays});

sql('DROP EXTENSION kafka_fdw CASCADE');
wait_for_no_relay('DROP EXTENSION ends the relay');

# Made again in one session, that knew the tables of the one before.
$session = KafkaFdw::Test->session($node);
for my $round (1 .. 2)
{
	$session->query(qq{BEGIN; CREATE EXTENSION kafka_fdw;
		CREATE SERVER kafka FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers '} . $broker->bootstrap . qq{');
		SELECT kafka_enqueue('$topic', 'made again', server => 'kafka')});
	is($session->query('SELECT count(*) FROM kafka_outbox'), '1', "an extension that is made again, round $round");
	$session->query('ROLLBACK');
}
$session->query(qq{BEGIN; CREATE EXTENSION kafka_fdw;
	CREATE SERVER kafka FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers '} . $broker->bootstrap . qq{');
	SELECT kafka_enqueue('$topic', 'first', server => 'kafka');
	DROP EXTENSION kafka_fdw CASCADE; CREATE EXTENSION kafka_fdw;
	CREATE SERVER kafka FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers '} . $broker->bootstrap . qq{');
	SELECT kafka_enqueue('$topic', 'second', server => 'kafka'); COMMIT});
unlike($session->stderr, qr/ERROR/, 'made again within a transaction');
$session->clear;
$session->query(qq{BEGIN; SELECT kafka_enqueue('$topic', 'for nobody', server => 'kafka');
	DROP EXTENSION kafka_fdw CASCADE; COMMIT});
unlike($session->stderr, qr/ERROR/, 'dropped within a transaction that has stored a message');
is(sql(q{SELECT count(*) FROM pg_extension WHERE extname = 'kafka_fdw'}), '0', 'which commits');
$session->query(q{CREATE EXTENSION kafka_fdw;
	CREATE SERVER kafka FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers '} . $broker->bootstrap . q{')});
enqueue_to('kafka', 'second');
wait_for('made again', 'SELECT NOT EXISTS (SELECT FROM kafka_outbox)');
KafkaFdw::Test->settle($node, $topic);
is(sql(qq{SELECT value FROM kafka_read('$topic', max_messages => 100000) ORDER BY "offset" DESC LIMIT 1}), 'second',
	'its relay sends');
$session->query('DROP EXTENSION kafka_fdw CASCADE');
$session->quit;

# A database is dropped under its relay, with a server that does not preload.
sql('CREATE DATABASE gone');
$node->safe_psql('gone', qq{CREATE EXTENSION kafka_fdw;
	CREATE SERVER kafka FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers '} . $broker->bootstrap . qq{')});
$node->safe_psql('gone', qq{SELECT kafka_enqueue('$topic', 'from another database', server => 'kafka')});
$node->poll_query_until('gone', q{SELECT sent = 1 AND state = 'running' FROM kafka_relays}) or die 'no relay in the other database';
my $relay = $node->safe_psql('gone', 'SELECT pid FROM kafka_relays');
my $logged = -s $node->logfile;
sql('DROP DATABASE gone WITH (FORCE)');
ok(KafkaFdw::Test->process_gone($relay), 'a relay ends with its database');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'kafka_fdw%'}),
	'and no other one comes');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile, $logged), qr/background worker "kafka_fdw relay".*exit code [^0]/,
	'as it has not failed');

$node->stop;
done_testing();
