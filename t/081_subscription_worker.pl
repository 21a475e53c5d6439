# 081_subscription_worker.pl
#		A subscription's worker: how it is told what to do, what stops it, what it may do, and how quick it is.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;
use Time::HiRes qw(time usleep);

my $broker = KafkaFdw::Test->new_broker('worker');
my $node = KafkaFdw::Test->new_node('worker', $broker,
	conf => "shared_preload_libraries = 'kafka_fdw'\nmax_worker_processes = 16");
my $topic = KafkaFdw::Test->topic('in');

sub sql
{
	my ($sql, %options) = @_;

	return $node->safe_psql('postgres', $sql, %options);
}

# What a statement that fails prints.
sub failure { return KafkaFdw::Test->failure($node, @_); }

sub wait_for { return KafkaFdw::Test->becomes_true($node, @_[ 0, 1 ], 'kafka_subscriptions'); }

sub state { my ($name) = @_; return sql("SELECT state FROM kafka_subscriptions WHERE name = '$name'"); }
sub error { my ($name) = @_; return sql("SELECT last_error FROM kafka_subscriptions WHERE name = '$name'"); }

my $workers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'kafka_fdw subscription'";

sql(qq{
	SELECT kafka_create_topic('$topic', 1, server => 'kafka');
	CREATE FOREIGN TABLE t_in ("offset" bigint, key text, value text) SERVER kafka OPTIONS (topic '$topic');
	CREATE TABLE t ("offset" bigint, value text);
	CREATE FOREIGN TABLE n_in ("offset" bigint, value int) SERVER kafka OPTIONS (topic '$topic.n');
	SELECT kafka_create_topic('$topic.n', 1, server => 'kafka');
	CREATE TABLE n ("offset" bigint, value int CHECK (value > 0))});

#----------------------------------------------------------------------
# Quick where there is little, and at rest where there is nothing
#----------------------------------------------------------------------

sql(q{SELECT kafka_subscribe('w', 't_in', 't')});
sql(q{INSERT INTO t_in (value) VALUES ('first')});
wait_for('SELECT count(*) = 1 FROM t', 'the first message arrives');

my @took;
my $session = KafkaFdw::Test->session($node);
for my $i (1 .. 20)
{
	$session->query("SELECT kafka_send('$topic', 'l$i', server => 'kafka')");
	my $start = time;
	$session->query(qq{DO 'BEGIN WHILE NOT EXISTS (SELECT FROM t WHERE value = ''l$i'') LOOP PERFORM pg_sleep(0.001); END LOOP; END'});
	push @took, (time - $start) * 1000;
}
@took = sort { $a <=> $b } @took;
diag sprintf 'from the acknowledgement to the row: median %.1f ms, longest %.1f ms', $took[10], $took[-1];
# One that waited for a batch's time to pass would take 100 ms each time, whatever else the machine does.
cmp_ok($took[0], '<', 100, 'a message is in the table within 100 ms');
# One that looked now and then would take five seconds.
cmp_ok($took[10], '<', 2500, 'and is not looked for now and then');
wait_for(q{SELECT application_name = 'kafka_fdw subscription w' AND state = 'idle' AND xact_start IS NULL FROM pg_stat_activity
	WHERE backend_type = 'kafka_fdw subscription'}, 'it waits outside of transactions');

#----------------------------------------------------------------------
# Pause, resume, seek, unsubscribe
#----------------------------------------------------------------------

sql(q{SELECT kafka_pause('w'); INSERT INTO t_in (value) VALUES ('later')});
wait_for("SELECT ($workers) = 0", 'a paused subscription has no worker');
is(state('w'), 'paused', 'and says so');
is(sql(q{SELECT count(*) FROM t WHERE value = 'later'}), '0', 'nothing was stored meanwhile');
sql(q{SELECT kafka_resume('w')});
wait_for(q{SELECT count(*) = 1 FROM t WHERE value = 'later'}, 'resumed');
for my $i (1 .. 10)
{
	sql(q{SELECT kafka_pause('w')});
	sql(q{SELECT kafka_resume('w')});
}
sql(q{INSERT INTO t_in (value) VALUES ('again')});
wait_for(q{SELECT count(*) = 1 FROM t WHERE value = 'again'}, 'paused and resumed quickly');
is(sql('SELECT count(*) - count(DISTINCT "offset") FROM t'), '0', 'nothing twice');
sql(q{SELECT kafka_seek('w', 'earliest')});
wait_for('SELECT bool_and(n = 2) FROM (SELECT count(*) AS n FROM t GROUP BY "offset") x', 'gone back, it repeats what is there');
sql(q{SELECT kafka_seek('w', 'newest', 0); INSERT INTO t_in (value) VALUES ('newest')});
wait_for(q{SELECT count(*) = 1 FROM t WHERE value = 'newest'}, 'gone to the end, it goes on');
wait_for(q{SELECT lag = 0 AND state = 'running' FROM kafka_subscriptions}, 'and is not behind');
my $pid = sql('SELECT pid FROM kafka_subscriptions');
sql("SELECT pg_terminate_backend($pid); INSERT INTO t_in (value) VALUES ('terminated')");
wait_for(q{SELECT count(*) = 1 FROM t WHERE value = 'terminated'}, 'terminated, it comes back');
$node->restart;
sql(q{INSERT INTO t_in (value) VALUES ('restarted')});
wait_for(q{SELECT count(*) = 1 FROM t WHERE value = 'restarted'}, 'so it does with the server');
sql(q{SELECT kafka_unsubscribe('w')});
wait_for("SELECT ($workers) = 0", 'unsubscribed, the worker ends');
is(sql('SELECT count(*) FROM kafka_subscription_offset'), '0', 'and nothing is left of it');

#----------------------------------------------------------------------
# A worker that goes on after all
#----------------------------------------------------------------------

# It has let go of its lock, and is about to look for the last time; another one comes, and goes, and then
# it is wanted again. Two sessions lock the catalogue by turns, so that each look of it is held up.
my @holders = map { KafkaFdw::Test->session($node) } 1 .. 2;
my $lock = 'LOCK TABLE kafka_subscription IN ACCESS EXCLUSIVE MODE';
my $waits = q{SELECT count(*) FROM pg_locks WHERE relation = 'kafka_subscription'::regclass AND NOT granted};

sql(q{TRUNCATE t; SELECT kafka_subscribe('w', 't_in', 't', start_offset => 'newest')});
sql(q{INSERT INTO t_in (value) VALUES ('before')});
wait_for('SELECT count(*) = 1 FROM t', 'a worker');
my $old = sql('SELECT pid FROM kafka_subscriptions');
$holders[0]->query("BEGIN; $lock; UPDATE kafka_subscription SET state = 'paused'");
while (1)
{
	$node->poll_query_until('postgres', "SELECT ($waits AND pid = $old) = 1") or die 'it does not look';
	last if sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = $old") eq '0';
	$holders[1]->send("BEGIN; $lock");
	$node->poll_query_until('postgres', "SELECT ($waits) = 2") or die 'nobody is next';
	$holders[0]->query('COMMIT');
	@holders = reverse @holders;
}
kill 'STOP', $old;
$holders[0]->query(q{SELECT kafka_resume('w'); COMMIT});
wait_for("SELECT pid <> $old FROM kafka_subscriptions", 'another one comes');
my $new = sql('SELECT pid FROM kafka_subscriptions');
sql(q{SELECT kafka_pause('w')});
ok(KafkaFdw::Test->process_gone($new), 'and goes');
sql(q{UPDATE kafka_subscription SET state = 'running'});
kill 'CONT', $old;
wait_for("SELECT pid = $old FROM kafka_subscriptions", 'the first one goes on, and is the one that is shown');
sql(q{INSERT INTO t_in (value) VALUES ('after')});
wait_for('SELECT count(*) = 2 FROM t', 'and reads');
sql(q{SELECT kafka_unsubscribe('w')});
wait_for("SELECT ($workers) = 0", 'it ends');
$_->quit foreach @holders;

#----------------------------------------------------------------------
# How long a batch gathers
#----------------------------------------------------------------------

sub taken { return sql(q{SELECT rows, batches FROM kafka_subscriptions WHERE name = 'gather'}); }

sql(q{CREATE TABLE gathered ("offset" bigint, value text);
	SELECT kafka_subscribe('gather', 't_in', 'gathered', start_offset => 'newest', batch_size => 5, batch_timeout => '1 hour')});
sql("INSERT INTO t_in (value) VALUES ('gathered $_')") foreach 1 .. 5;
wait_for('SELECT count(*) = 5 FROM gathered', 'a batch with much time is stored when it is full');
is(taken(), '5|1', 'and is one');
sql("INSERT INTO t_in (value) VALUES ('gathered $_')") foreach 6 .. 8;
sql(q{SELECT kafka_pause('gather')});
wait_for("SELECT ($workers) = 0", 'what has gathered holds up no pause');
is(taken(), '5|1', 'and is not stored');
sql(q{SELECT kafka_resume('gather')});
sql("INSERT INTO t_in (value) VALUES ('gathered $_')") foreach 9, 10;
wait_for('SELECT count(*) = 10 FROM gathered', 'it is taken again');
is(taken(), '10|2', 'as one batch');
sql(q{SELECT kafka_unsubscribe('gather')});
sql(q{SELECT kafka_subscribe('gather', 't_in', 'gathered', start_offset => 'newest', batch_timeout => '100s')});
my $start = time;
sql(q{INSERT INTO t_in (value) VALUES ('alone')});
wait_for(q{SELECT count(*) = 1 FROM gathered WHERE value = 'alone'}, 'a message that stays alone is stored');
cmp_ok(time - $start, '<', 90, 'long before the time of a batch is over');
sql(q{SELECT kafka_unsubscribe('gather')});
wait_for("SELECT ($workers) = 0", 'that worker ends');

#----------------------------------------------------------------------
# What stops it, and what does not
#----------------------------------------------------------------------

sql(qq{
	SELECT kafka_send('$topic.n', x, server => 'kafka') FROM unnest(ARRAY['1', '2', '-3', '4']) x;
	SELECT kafka_subscribe('n', 'n_in', 'n')});
wait_for(q{SELECT state = 'stopped' FROM kafka_subscriptions}, 'a constraint stops it');
like(error('n'), qr/violates check constraint "n_value_check"/, 'and the reason is there');
wait_for("SELECT ($workers) = 0", 'without a worker');
is(sql('SELECT count(*) FROM n'), '0', 'nothing of the batch was stored');
sql(q{ALTER TABLE n DROP CONSTRAINT n_value_check; SELECT kafka_resume('n')});
wait_for(q{SELECT array_agg(value ORDER BY "offset") = '{1,2,-3,4}' FROM n}, 'resumed, it goes on where it was');
is(sql(q{SELECT state, last_error IS NULL FROM kafka_subscriptions}), 'running|t', 'and forgets the error');
sql(qq{SELECT kafka_send('$topic.n', 'poison', server => 'kafka')});
wait_for(q{SELECT state = 'stopped' FROM kafka_subscriptions}, 'a message that is no number stops it');
like(error('n'), qr/invalid input syntax for type integer: "poison"/, 'with that reason');
sql(q{SELECT kafka_seek('n', (SELECT (max("offset") + 2)::text FROM n), 0); SELECT kafka_resume('n')});
sql(qq{SELECT kafka_send('$topic.n', '5', server => 'kafka')});
wait_for(q{SELECT count(*) = 5 FROM n}, 'sent behind it, it goes on');

# Settings of the server, which are for the worker: these sessions do without them.
$ENV{PGOPTIONS} = '-c lock_timeout=0 -c statement_timeout=0';
my $locker = KafkaFdw::Test->session($node);

sub configure
{
	my ($change) = @_;

	sql("ALTER SYSTEM $change");
	sql('SELECT pg_reload_conf()');
	return;
}

# When a worker has heard of one is not to be seen: so have another one, which begins with it.
sub set_for_worker
{
	my ($name, $value) = @_;

	configure("SET $name = '$value'");
	{
		local $ENV{PGOPTIONS} = '';
		wait_for("SELECT current_setting('$name') = '$value'", "$name is in force");
	}
	sql(q{SELECT kafka_pause('n')});
	wait_for("SELECT ($workers) = 0", 'the worker ends');
	sql(q{SELECT kafka_resume('n')});
	return;
}

# A lock is waited for, and one that takes too long is tried again.
$locker->query('BEGIN; LOCK TABLE n');
set_for_worker(lock_timeout => '100ms');
sql(qq{SELECT kafka_send('$topic.n', '6', server => 'kafka')});
wait_for(q{SELECT state = 'retrying' AND last_error LIKE '%lock timeout%' FROM kafka_subscriptions}, 'a lock timeout is retried');
configure('RESET lock_timeout');
wait_for(q{SELECT count(*) = 1 FROM pg_locks WHERE relation = 'n'::regclass AND NOT granted AND clock_timestamp() - waitstart > interval '1 s'},
	'a worker hears of a setting that has changed');
$locker->query('ROLLBACK');
wait_for(q{SELECT count(*) = 6 FROM n}, 'until it is given');
wait_for(q{SELECT state = 'running' FROM kafka_subscriptions}, 'and runs again');

# So is a statement that takes too long.
$locker->query('BEGIN; LOCK TABLE n');
set_for_worker(statement_timeout => '300ms');
sql(qq{SELECT kafka_send('$topic.n', '6', server => 'kafka')});
wait_for(q{SELECT state = 'retrying' AND last_error LIKE '%statement timeout%' FROM kafka_subscriptions}, 'so is a statement timeout');
configure('RESET statement_timeout');
$locker->query('ROLLBACK');
delete $ENV{PGOPTIONS};
wait_for(q{SELECT count(*) = 7 AND count(DISTINCT "offset") = 7 FROM n}, 'and the batch comes when it can');

# The source is altered, and read as it is now.
sql(q{ALTER FOREIGN TABLE n_in OPTIONS (ADD on_error 'skip')});
sql(qq{SELECT kafka_send('$topic.n', x, server => 'kafka') FROM unnest('{no number,7}'::text[]) x});
wait_for(q{SELECT count(*) = 8 FROM n}, 'an altered source is read as it is now');

# The target is altered; the target is dropped.
sql(q{ALTER TABLE n ADD COLUMN at timestamptz DEFAULT now(), ALTER value TYPE bigint});
sql(qq{SELECT kafka_send('$topic.n', '7', server => 'kafka')});
wait_for(q{SELECT count(at) = 9 FROM n}, 'an altered target is used as it is now');
sql(q{ALTER FOREIGN TABLE n_in ADD COLUMN headers jsonb; ALTER TABLE n ADD COLUMN headers jsonb});
sql(qq{SELECT kafka_send('$topic.n', '8', headers => '{"h": "1"}', server => 'kafka')});
wait_for(q{SELECT headers ->> 'h' = '1' FROM n WHERE value = 8}, 'headers are fetched from when they are shown');
sql(qq{DROP TABLE n; SELECT kafka_send('$topic.n', '8', server => 'kafka')});
wait_for(q{SELECT state = 'stopped' FROM kafka_subscriptions}, 'a dropped target stops it');
like(error('n'), qr/the target of subscription "n" does not exist any more/, 'with that reason');
sql(q{SELECT kafka_unsubscribe('n')});
sql(q{SELECT kafka_subscribe('s', 't_in', 't', start_offset => 'newest')});
wait_for("SELECT ($workers) = 1", 'another one runs');
sql('DROP FOREIGN TABLE t_in');
wait_for(q{SELECT state = 'stopped' AND last_error LIKE 'the source of subscription "s" does not exist any more%' FROM kafka_subscriptions},
	'so does a dropped source, by itself');
sql(q{SELECT kafka_unsubscribe('s')});

# One that is dropped while a batch gathers: that is full with the second message.
sql(qq{
	CREATE FOREIGN TABLE t_in (value text) SERVER kafka OPTIONS (topic '$topic');
	SELECT kafka_subscribe('s', 't_in', 't', start_offset => 'newest', batch_size => 2, batch_timeout => '1 hour');
	SELECT kafka_send('$topic', 'first of two', server => 'kafka')});
wait_for(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'kafka_fdw subscription s'}, 'one that gathers');
sql('DROP FOREIGN TABLE t_in');
sql(qq{SELECT kafka_send('$topic', 'second of two', server => 'kafka')});
wait_for(q{SELECT state = 'stopped' FROM kafka_subscriptions}, 'a source that is dropped under a batch');
like(error('s'), qr/^the source of subscription "s" does not exist any more/, 'stops it for the same reason');
sql(q{SELECT kafka_unsubscribe('s')});

#----------------------------------------------------------------------
# Rights
#----------------------------------------------------------------------

sql(qq{
	CREATE ROLE alice; CREATE ROLE bob; CREATE ROLE watcher IN ROLE pg_monitor;
	GRANT USAGE ON FOREIGN SERVER kafka TO alice, bob;
	GRANT CREATE, USAGE ON SCHEMA public TO alice, bob;
	SELECT kafka_create_topic('$topic.r', 1, server => 'kafka');
	SET ROLE alice;
	CREATE FOREIGN TABLE a_in (value text) SERVER kafka OPTIONS (topic '$topic.r');
	CREATE TABLE a (value text, who text DEFAULT current_user, at_commit text);
	CREATE FUNCTION a_role() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN UPDATE a SET at_commit = current_user WHERE value = NEW.value; RETURN NULL; END';
	CREATE CONSTRAINT TRIGGER a_later AFTER INSERT ON a DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION a_role();
	SET ROLE bob;
	CREATE TABLE b (value text);
	GRANT INSERT ON b TO alice});
like(failure(q{SET ROLE alice; SELECT kafka_subscribe('x', 'a_in', 'b')}),
	qr/must be a member of role "bob", the owner of "b"/, 'another role\'s table is no target');
like(failure(q{SET ROLE bob; SELECT kafka_subscribe('x', 'a_in', 'b')}), qr/permission denied for foreign table a_in/,
	'nor a source without SELECT');
like(failure(q{SET ROLE alice; SELECT kafka_subscribe('x', 'a_in', command => 'DELETE FROM b')}), qr/permission denied for table b/,
	'nor a command that may not be executed');
sql(q{SET ROLE alice; SELECT kafka_subscribe('a', 'a_in', 'a'); SELECT kafka_subscribe('evil', 'a_in', command =>
	$$SELECT set_config('role', 'postgres', false) FROM a_in$$)});
is(sql(q{SET ROLE bob; SELECT count(*) FROM kafka_subscriptions}), '0', 'others\' subscriptions are not seen');
is(sql(q{SET ROLE watcher; SELECT count(*) FROM kafka_subscriptions}), '2', 'but by those who watch');
for my $function (qw(kafka_unsubscribe kafka_pause kafka_resume))
{
	like(failure("SET ROLE bob; SELECT $function('a')"), qr/must be owner of subscription "a"/, "$function is the owner's");
}
like(failure(q{SET ROLE bob; CALL kafka_ingest('a')}), qr/must be owner of subscription "a"/, 'so is kafka_ingest');
like(failure(q{SET ROLE bob; SELECT kafka_seek('a', 'earliest')}), qr/must be owner of subscription "a"/, 'and kafka_seek');
like(failure(q{SET ROLE alice; UPDATE kafka_subscription SET owner = 'postgres'}), qr/permission denied/, 'nobody writes to the catalogue');
like(failure(q{BEGIN; CALL kafka_ingest('a')}), qr/cannot run in a transaction block for another role's subscription/,
	'a superuser does not run another\'s code in a transaction of its own');
sql(qq{SELECT kafka_send('$topic.r', 'x', server => 'kafka')});
wait_for(q{SELECT who = 'alice' AND at_commit = 'alice' FROM a}, 'all that is done is done as the owner, at the commit too');
wait_for(q{SELECT state = 'stopped' AND last_error LIKE 'cannot set parameter "role"%' FROM kafka_subscriptions WHERE name = 'evil'},
	'who cannot become somebody else');
sql(q{SET ROLE alice; SELECT kafka_unsubscribe('evil'); ALTER TABLE a ADD CHECK (value <> 'secret')});
sql(qq{SELECT kafka_send('$topic.r', 'secret', server => 'kafka')});
wait_for(q{SELECT state = 'stopped' FROM kafka_subscriptions}, 'bad data stop it');
like(sql(q{SET ROLE alice; SELECT last_error FROM kafka_subscriptions}), qr/violates check constraint.*\(secret, alice/, 'and its owner sees which');
is(sql(q{SET ROLE watcher; SELECT last_error FROM kafka_subscriptions}), 'could not store a batch (SQLSTATE 23514)',
	'those who watch see no data');
like(failure("SET ROLE watcher; SELECT FROM $_"), qr/permission denied for table $_/, "nor $_")
  foreach qw(kafka_subscription kafka_subscription_worker);
sql(q{ALTER TABLE a ADD COLUMN n int; SET ROLE alice; CREATE FUNCTION a_stop() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN RAISE 'a secret' USING ERRCODE = '40001'; END$$;
	ALTER TABLE a DROP CONSTRAINT a_value_check;
	CREATE TRIGGER a_stop BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION a_stop();
	SELECT kafka_resume('a')});
wait_for(q{SELECT state = 'retrying' FROM kafka_subscriptions}, 'an error that may pass is tried again');
is(sql(q{SET ROLE alice; SELECT last_error FROM kafka_subscriptions}), 'a secret', 'which its owner sees');
is(sql(q{SET ROLE watcher; SELECT last_error FROM kafka_subscriptions}), 'could not store a batch (SQLSTATE 40001)', 'and nobody else');
sql(q{DROP TRIGGER a_stop ON a; SET ROLE alice; SELECT kafka_pause('a'); SELECT kafka_resume('a')});
wait_for(q{SELECT at_commit = 'alice' FROM a WHERE value = 'secret'}, 'it goes on');
sql(q{SET ROLE alice; SELECT kafka_pause('a')});
sql(qq{SELECT kafka_send('$topic.r', 'by hand', server => 'kafka')});
sql(q{CALL kafka_ingest('a')});
is(sql(q{SELECT who, at_commit FROM a WHERE value = 'by hand'}), 'alice|alice', 'so it is by hand, whoever calls');
my (undef, $who, $error) = $node->psql('postgres', q{
	CALL kafka_ingest('a');
	SELECT current_user = session_user;
	DO $$ BEGIN CALL kafka_ingest('a'); RAISE 'later'; END $$;
	SELECT current_user = session_user;
	SET ROLE bob;
	SELECT current_user}, on_error_stop => 0);
like($error, qr/later/, 'a failure after it, in the transaction that it has begun');
is($who, "t\nt\nbob", 'who calls stays who he is');
# What the owner's code does to the session of another one that calls
sql(q{SET ROLE alice;
	CREATE TABLE g (value text);
	CREATE FUNCTION g_set() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
		PERFORM set_config('search_path', 'evil', false), set_config('work_mem', '77kB', false);
		RETURN NEW; END$$;
	CREATE FUNCTION g_keep() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN CREATE TEMPORARY TABLE IF NOT EXISTS kept (); RETURN NEW; END$$;
	CREATE FUNCTION g_defer() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN SET CONSTRAINTS ALL DEFERRED; RETURN NEW; END$$;
	CREATE FUNCTION g_set_later() RETURNS trigger LANGUAGE plpgsql AS
		$$BEGIN PERFORM set_config('work_mem', '88kB', false); RETURN NEW; END$$;
	CREATE TRIGGER g_set BEFORE INSERT ON g FOR EACH ROW EXECUTE FUNCTION g_set();
	CREATE CONSTRAINT TRIGGER g_set_later AFTER INSERT ON g DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION g_set_later();
	SELECT kafka_subscribe('g', 'a_in', 'g', workers => 0, start_offset => 'earliest')});
my $settings = q{SELECT current_setting('search_path'), current_setting('work_mem'); };
is(sql("SET search_path = public; SET work_mem = '1MB'; CALL kafka_ingest('g'); $settings"), 'public|1MB',
	'what a trigger of the owner sets is taken back');
cmp_ok(sql('SELECT count(*) FROM g'), '>', 0, 'though it has run');
sub ingest_again
{
	my ($role, $function) = @_;

	sql(qq{SET ROLE alice; SELECT kafka_seek('g', 'earliest'); DROP TRIGGER g_set ON g;
		CREATE TRIGGER g_set BEFORE INSERT ON g FOR EACH ROW EXECUTE FUNCTION $function()});
	return failure("SET ROLE $role; CALL kafka_ingest('g')");
}
like(ingest_again('postgres', 'g_keep'), qr/cannot create temporary table within security-restricted operation/,
	'it leaves no temporary table');
like(ingest_again('postgres', 'g_defer'), qr/cannot fire deferred trigger within security-restricted operation/,
	'and puts nothing off');
unlike(ingest_again('alice', $_), qr/ERROR/, "the owner itself may do what $_ does") foreach qw(g_keep g_defer);
sql(q{SELECT kafka_unsubscribe('g')});
sql(q{SET ROLE alice; SELECT kafka_resume('a')});
sql('REVOKE USAGE ON FOREIGN SERVER kafka FROM alice; REVOKE SELECT ON a_in FROM alice');
sql(qq{SELECT kafka_send('$topic.r', 'revoked', server => 'kafka')});
wait_for(q{SELECT state = 'stopped' AND last_error LIKE 'permission denied for foreign table a_in%' FROM kafka_subscriptions}, 'a right that is taken away is missed');
sql(q{SELECT kafka_unsubscribe('a')});

#----------------------------------------------------------------------
# A constraint that looks at a table
#----------------------------------------------------------------------

sql(qq{
	SELECT kafka_create_topic('$topic.c', 1, server => 'kafka');
	CREATE FOREIGN TABLE c_in (value text) SERVER kafka OPTIONS (topic '$topic.c');
	CREATE TABLE known (value text);
	INSERT INTO known VALUES ('known');
	CREATE FUNCTION is_known(text) RETURNS boolean STABLE LANGUAGE plpgsql AS \$\$
	BEGIN
		RETURN EXISTS (SELECT FROM known k WHERE k.value = \$1);
	END \$\$;
	CREATE TABLE c (value text CHECK (is_known(value)));
	SELECT kafka_subscribe('c', 'c_in', 'c');
	SELECT kafka_send('$topic.c', 'known', server => 'kafka')});
wait_for(q{SELECT count(*) = 1 FROM c}, 'a constraint that looks at a table');
sql(q{SELECT kafka_unsubscribe('c')});

#----------------------------------------------------------------------
# DROP DATABASE, DROP EXTENSION
#----------------------------------------------------------------------

sql('CREATE DATABASE other');
KafkaFdw::Test::create_server('KafkaFdw::Test', $node, 'kafka2', $broker);
$node->safe_psql('other', 'CREATE EXTENSION kafka_fdw');
$node->safe_psql('other', sprintf q{
	CREATE SERVER kafka FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers '%s');
	CREATE FOREIGN TABLE t_in (value text) SERVER kafka OPTIONS (topic '%s');
	CREATE TABLE t (value text);
	SELECT kafka_subscribe('o', 't_in', 't')}, $broker->bootstrap, $topic);
$node->poll_query_until('other', 'SELECT count(*) > 0 FROM t') or die 'no rows';
$node->safe_psql('other', 'DROP EXTENSION kafka_fdw CASCADE');
wait_for("SELECT ($workers) = 0", 'the worker ends with the extension');
$node->safe_psql('other', sprintf q{
	CREATE EXTENSION kafka_fdw;
	CREATE SERVER kafka FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers '%s');
	CREATE FOREIGN TABLE t_in (value text) SERVER kafka OPTIONS (topic '%s');
	TRUNCATE t;
	SELECT kafka_subscribe('o', 't_in', 't')}, $broker->bootstrap, $topic);
$node->poll_query_until('other', 'SELECT count(*) > 0 FROM t') or die 'no rows';
sql('DROP DATABASE other');
wait_for("SELECT ($workers) = 0", 'a database can be dropped under a worker');

$session->quit;
$locker->quit;
done_testing();
