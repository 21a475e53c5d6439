# 086_subscription_workers.pl
#		Several workers of a subscription, each with its partitions; what becomes of it when one is
#		missing; the consumer group that is told of the offsets.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;

my $node = KafkaFdw::Test->new_node('workers', undef,
	conf => "shared_preload_libraries = 'kafka_fdw'\nmax_worker_processes = 16\nmax_prepared_transactions = 2\nrestart_after_crash = on");
my $topic = KafkaFdw::Test->topic('in');
my $sent = 0;

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

sub wait_for { return KafkaFdw::Test->becomes_true($node, @_[ 0, 1 ], 'kafka_subscriptions'); }

sub error { return sql('SELECT last_error FROM kafka_subscriptions'); }

my $workers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'kafka_fdw subscription'";

# Messages in all partitions of a topic.
sub produce
{
	my ($n, $partitions) = @_;

	sql(qq{SELECT count(kafka_send('$topic', 'v' || i, partition => i % $partitions, server => 'kafka'))
		FROM generate_series($sent + 1, $sent + $n) i});
	$sent += $n;
	return;
}

# All that was sent is there, once.
sub arrives
{
	my ($what) = @_;

	wait_for(qq{SELECT count(*) = $sent AND count(DISTINCT value) = $sent FROM t}, $what);
	return;
}

sql(qq{
	SELECT kafka_create_topic('$topic', 5, server => 'kafka');
	CREATE FOREIGN TABLE t_in (partition int, "offset" bigint, value text) SERVER kafka OPTIONS (topic '$topic');
	CREATE TABLE t (partition int, value text, pid int DEFAULT pg_backend_pid(), name text DEFAULT current_setting('application_name'));
	SELECT kafka_subscribe('w', 't_in', 't', workers => 3, "group" => '$topic.group')});
produce(100, 5);
arrives('three workers read a topic');
is(sql(q{SELECT string_agg(x, ', ' ORDER BY x) FROM (SELECT DISTINCT partition || ' ' || name AS x FROM t) x}),
	'0 kafka_fdw subscription w 1/3, 1 kafka_fdw subscription w 2/3, 2 kafka_fdw subscription w 3/3, '
	  . '3 kafka_fdw subscription w 1/3, 4 kafka_fdw subscription w 2/3', 'each its partitions');
is(sql(q{SELECT state, workers, pid = pids[1], pids = ARRAY(SELECT pid FROM pg_stat_activity
	WHERE backend_type = 'kafka_fdw subscription' ORDER BY application_name), partitions, rows FROM kafka_subscriptions}),
	"running|3|t|t|5|$sent", 'the view shows them all');

#----------------------------------------------------------------------
# The group
#----------------------------------------------------------------------

my $lag = "SELECT string_agg(partition || ' ' || current_offset || ' ' || lag, ', ' ORDER BY partition)
	FROM kafka_group_lag('$topic.group', server => 'kafka')";

ok($node->poll_query_until('postgres', qq{SELECT ($lag) = '0 20 0, 1 20 0, 2 20 0, 3 20 0, 4 20 0'}), 'the group has the offsets')
  or diag sql($lag);
wait_for(qq{SELECT last_error IS NULL AND "group" = '$topic.group' FROM kafka_subscriptions}, 'without a word');
produce(1, 5);
ok($node->poll_query_until('postgres', qq{SELECT ($lag) = '0 20 0, 1 21 0, 2 20 0, 3 20 0, 4 20 0'}), 'also those of a lone message')
  or diag sql($lag);

#----------------------------------------------------------------------
# Pause, resume, by hand, seek
#----------------------------------------------------------------------

# All workers are held up in a batch, and kafka_pause waits for each of them.
my $locker = KafkaFdw::Test->session($node);
my $pauser = KafkaFdw::Test->session($node);
$locker->query('BEGIN; LOCK TABLE t');
sql(qq{SELECT count(kafka_send('$topic', 'v' || $sent + 1 + i, partition => i, server => 'kafka')) FROM generate_series(0, 4) i});
$sent += 5;
wait_for(q{SELECT count(*) = 3 FROM pg_locks WHERE relation = 't'::regclass AND NOT granted}, 'no worker waits for another one to store');
$pauser->send(q{SELECT kafka_pause('w');});
wait_for(q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND NOT granted}, 'kafka_pause waits for them');
$locker->query('COMMIT');
$pauser->query('SELECT 1');
my $stored = sql('SELECT count(*) FROM t');
produce(10, 5);
wait_for("SELECT ($workers) = 0 AND pids IS NULL FROM kafka_subscriptions", 'and they end');
is(sql('SELECT count(*) FROM t'), $stored, 'when it returns all of them are done');
is(sql(qq{SELECT jsonb_object_agg(partition, current_offset) = (SELECT offsets FROM kafka_subscriptions)
	FROM kafka_group_lag('$topic.group', server => 'kafka')}), 't', 'having committed their last offsets');
sql(q{CALL kafka_ingest('w')});
is(sql('SELECT count(*), count(DISTINCT value) FROM t'), "$sent|$sent", 'by hand a batch has all partitions');
is(sql($lag), '0 23 0, 1 24 0, 2 23 0, 3 23 0, 4 23 0', 'and the group its offsets');
sql(q{SELECT kafka_resume('w')});
produce(10, 5);
arrives('resumed, they go on');
my $before = sql('SELECT pids FROM kafka_subscriptions');
sql(q{DELETE FROM t WHERE partition = 3; SELECT kafka_seek('w', 'earliest', 3)});
arrives('one partition is sent back');
is(sql('SELECT pids FROM kafka_subscriptions'), $before, 'by the same workers');

# PREPARE TRANSACTION: who commits would have to start workers, but not to end them.
sql(q{BEGIN; SELECT kafka_pause('w'); PREPARE TRANSACTION 'p'});
sql(q{COMMIT PREPARED 'p'});
wait_for("SELECT ($workers) = 0", 'a pause can be prepared');
like(KafkaFdw::Test->failure($node, q{BEGIN; SELECT kafka_resume('w'); PREPARE TRANSACTION 'p'}),
	qr/cannot PREPARE a transaction that starts workers of subscription "w"/, 'but nothing that starts workers');
sql(q{SELECT kafka_resume('w')});
produce(10, 5);
arrives('they are started otherwise');

#----------------------------------------------------------------------
# New partitions
#----------------------------------------------------------------------

sql(qq{SELECT kafka_add_partitions('$topic', 7, server => 'kafka')});
produce(70, 7);
arrives('new partitions are found');
is(sql(q{SELECT bool_and(name LIKE '% ' || partition % 3 + 1 || '/3') FROM t WHERE name LIKE 'kafka%'}), 't', 'by those whose they are');
is(sql('SELECT partitions FROM kafka_subscriptions'), '7', 'and counted');

#----------------------------------------------------------------------
# Workers that end, or fail
#----------------------------------------------------------------------

sql('SELECT pg_terminate_backend(pids[2]) FROM kafka_subscriptions');
produce(7, 7);
arrives('one that was terminated comes back');
KafkaFdw::Test->kill_process($node, sql('SELECT pids[3] FROM kafka_subscriptions'));
produce(7, 7);
arrives('after a crash all of them do');

# An error that may pass is the worker's own.
sql(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF NEW.partition % 3 = 1 THEN RAISE EXCEPTION 'not now' USING ERRCODE = 'serialization_failure'; END IF; RETURN NEW; END $$;
	CREATE TRIGGER refuse BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION refuse()});
# All that one worker reads is refused: partitions 1 and 4.
my $others = 'SELECT count(*) FROM t WHERE partition % 3 <> 1';
my $rest = sql($others);
produce(7, 7);
wait_for("SELECT ($others) = $rest + 5", 'where one tries again the others go on');
wait_for(q{SELECT state = 'retrying' AND last_error = 'not now' AND array_length(pids, 1) = 3 FROM kafka_subscriptions}, 'and it says so');
produce(7, 7);
wait_for("SELECT ($others) = $rest + 10", 'what they store does not hide it');
is(sql('SELECT state FROM kafka_subscriptions'), 'retrying', 'as long as it lasts');
sql('DROP TRIGGER refuse ON t');
arrives('then it is stored, too');
wait_for(q{SELECT state = 'running' AND last_error IS NULL FROM kafka_subscriptions}, 'and forgotten');

# One that does not is the end of all.
sql(q{ALTER TABLE t ADD CONSTRAINT no CHECK (partition <> 1) NOT VALID});
produce(7, 7);
wait_for(q{SELECT state = 'stopped' FROM kafka_subscriptions}, 'an error that does not pass stops the subscription');
like(error(), qr/violates check constraint "no"/, 'with its reason');
wait_for("SELECT ($workers) = 0", 'and all of its workers');
sql(q{ALTER TABLE t DROP CONSTRAINT no; SELECT kafka_resume('w')});
arrives('resumed, all of them go on');
is(sql('SELECT state, last_error FROM kafka_subscriptions'), 'running|', 'without the error');

# More workers than partitions, and dead letters
sql(qq{
	SELECT kafka_unsubscribe('w');
	CREATE TABLE n (value int);
	SELECT kafka_create_topic('$topic.n', 2, server => 'kafka');
	CREATE FOREIGN TABLE n_in (value int) SERVER kafka OPTIONS (topic '$topic.n');
	SELECT kafka_subscribe('n', 'n_in', 'n', workers => 4, on_failure => 'dead_letter');
	SELECT count(kafka_send('$topic.n', CASE WHEN i % 10 = 0 THEN 'no' ELSE i::text END, partition => i / 50, server => 'kafka'))
		FROM generate_series(0, 99) i});
wait_for(q{SELECT count(*) = 90 AND count(DISTINCT value) = 90 FROM n}, 'there may be more workers than partitions');
is(sql(q{SELECT count(*) FROM kafka_dead_letters WHERE subscription = 'n'}), '10', 'each puts aside what it cannot store');
wait_for(q{SELECT state = 'running' AND array_length(pids, 1) = 4 FROM kafka_subscriptions}, 'and all of them run');
sql(q{ALTER FOREIGN TABLE n_in ALTER value TYPE text; ALTER TABLE n ALTER value TYPE text});
is(sql(q{SELECT kafka_retry_dead_letters('n')}), '10', 'dead letters are tried again while they run');
is(sql('SELECT count(*) FROM n'), '100', 'and stored');

# One that has been trying again stops the subscription just as somebody else ends it.
sub fail_with
{
	my ($condition) = @_;

	sql("CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
		\$\$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '$condition'; END \$\$");
	return;
}

fail_with('serialization_failure');
sql(q{CREATE TRIGGER fail BEFORE INSERT ON n FOR EACH ROW EXECUTE FUNCTION fail(); SELECT kafka_seek('n', 'earliest', 0)});
wait_for(q{SELECT state = 'retrying' FROM kafka_subscriptions}, 'a worker tries again');
$_ = KafkaFdw::Test->session($node) foreach $locker, $pauser;
$locker->query('BEGIN; SELECT FROM kafka_subscription FOR UPDATE');
fail_with('feature_not_supported');
my $waiting = 'SELECT count(*) FROM pg_locks WHERE NOT granted';
wait_for("SELECT ($waiting) = 1", 'a worker is about to stop a subscription');
$pauser->send(q{SELECT kafka_unsubscribe('n');});
wait_for("SELECT ($waiting) = 2", 'that somebody else ends');
$locker->query('COMMIT');
$pauser->query('SELECT 1');
wait_for("SELECT ($workers) = 0", 'unsubscribed, all workers end');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/deadlock detected/, 'without a deadlock');
is(sql('SELECT count(*) FROM kafka_subscription_worker'), '0', 'and nothing is left of them');
$locker->quit;
$pauser->quit;

#----------------------------------------------------------------------
# Deadlocks
#----------------------------------------------------------------------

# A key in two partitions, of which each worker deletes what the other one changes then.
sql(qq{
	SELECT kafka_create_topic('$topic.k', 2, server => 'kafka');
	CREATE FOREIGN TABLE k_in (k int OPTIONS (key 'true'), v text OPTIONS (value 'true')) SERVER kafka OPTIONS (topic '$topic.k');
	CREATE TABLE k (k int PRIMARY KEY, v text);
	INSERT INTO k VALUES (0, 'old'), (1, 'old');
	CREATE FUNCTION k_wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(86); RETURN OLD; END';
	CREATE TRIGGER k_wait BEFORE DELETE ON k FOR EACH ROW EXECUTE FUNCTION k_wait()});
my $gate = KafkaFdw::Test->session($node);
$gate->query('SELECT pg_advisory_lock(86)');
sql(qq{SELECT kafka_send('$topic.k', NULL, key => p::text, partition => p, server => 'kafka'),
		kafka_send('$topic.k', 'of ' || p, key => (1 - p)::text, partition => p, server => 'kafka') FROM generate_series(0, 1) p;
	SELECT kafka_subscribe('k', 'k_in', 'k', mode => 'upsert', workers => 2)});
wait_for(q{SELECT count(*) = 2 FROM pg_locks WHERE locktype = 'advisory' AND objid = 86 AND NOT granted}, 'two workers hold a row each');
$gate->query('SELECT pg_advisory_unlock(86)');
wait_for(q{SELECT lag = 0 AND state = 'running' AND offsets = '{"0": 2, "1": 2}' FROM kafka_subscriptions}, 'after a deadlock both go on');
like(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/deadlock detected/, 'there was one');
is(sql(q{SELECT string_agg(v, ',') FROM k}), sql(q{SELECT CASE k WHEN 0 THEN 'of 1' ELSE 'of 0' END FROM k}), 'the later one has the last word');
$gate->quit;
sql(q{SELECT kafka_unsubscribe('k')});

#----------------------------------------------------------------------
# A group that refuses
#----------------------------------------------------------------------

# Its members are somebody else's business, and offsets under them as well.
sql(qq{CREATE FOREIGN TABLE g_in (value text) SERVER kafka OPTIONS (topic '$topic.n'); CREATE TABLE g (value text)});
my $member = KafkaFdw::Test->tool('kgroup', KafkaFdw::Test->bootstrap, "$topic.members");
$member->ok("subscribe $topic.n");
KafkaFdw::Test->wait_until(sub { return $member->ok('assigned') ne ''; }) or die 'the group has no member';
sql(qq{SELECT kafka_subscribe('g', 'g_in', 'g', "group" => '$topic.members')});
wait_for('SELECT count(*) = 100 FROM g', 'a group that refuses the offsets keeps no message back');
wait_for(qq{SELECT state = 'running' AND last_error LIKE 'could not commit offsets to consumer group "$topic.members"%' FROM kafka_subscriptions},
	'but it is to be seen');
$member->quit;
wait_for(q{SELECT last_error IS NULL FROM kafka_subscriptions}, 'until it can be done');
is(sql(qq{SELECT sum(current_offset) FROM kafka_group_lag('$topic.members', server => 'kafka')}), '100', 'when all of it is');
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
is(scalar(() = $log =~ /LOG:  could not commit offsets of subscription "g" to consumer group/g), 1, 'it was logged once');
sql(q{SELECT kafka_unsubscribe('g')});

#----------------------------------------------------------------------
# Too few slots
#----------------------------------------------------------------------

# One is for the launcher of logical replication. (Ours, which preloading brings, would have some until it has ended.)
my $small = KafkaFdw::Test->new_node('small', undef, conf => 'max_worker_processes = 4');
$small->safe_psql('postgres', qq{
	CREATE FOREIGN TABLE n_in (value text) SERVER kafka OPTIONS (topic '$topic.n');
	CREATE TABLE one (value text); CREATE TABLE n (value text)});
$small->safe_psql('postgres', q{SELECT kafka_subscribe('one', 'n_in', 'one')});
my ($status, $out, $err) = $small->psql('postgres', q{SELECT kafka_subscribe('n', 'n_in', 'n', workers => 3)});
like($err, qr/WARNING:  could not start worker 3 of 3 of subscription "n": no background worker slot is free/, 'a worker that cannot start is warned of');
ok($small->poll_query_until('postgres', q{SELECT state = 'retrying' AND last_error LIKE 'worker 3 of 3 cannot start%'
	FROM kafka_subscriptions WHERE name = 'n'}), 'the others see to it that it is to be seen')
  or diag $small->safe_psql('postgres', 'SELECT * FROM kafka_subscriptions');
$small->safe_psql('postgres', q{SELECT kafka_unsubscribe('one')});
ok($small->poll_query_until('postgres', q{SELECT state = 'running' AND last_error IS NULL AND array_length(pids, 1) = 3 AND lag = 0
	FROM kafka_subscriptions WHERE name = 'n'}), 'and start it when they can')
  or diag $small->safe_psql('postgres', 'SELECT * FROM kafka_subscriptions');
is($small->safe_psql('postgres', 'SELECT count(*) FROM n'), '100', 'all is there, once');
$small->stop;

#----------------------------------------------------------------------
# Without preloading
#----------------------------------------------------------------------

my $lazy = KafkaFdw::Test->new_node('lazy');
$lazy->safe_psql('postgres', qq{
	CREATE FOREIGN TABLE n_in (value text) SERVER kafka OPTIONS (topic '$topic.n');
	CREATE TABLE n (value text);
	SELECT kafka_subscribe('n', 'n_in', 'n', workers => 2)});
$lazy->poll_query_until('postgres', 'SELECT count(*) = 100 FROM n') or die 'no rows';
$lazy->restart;
is($lazy->safe_psql('postgres', $workers), '0', 'without preloading there is no worker after a restart');
is($lazy->safe_psql('postgres', 'BEGIN READ ONLY; SELECT count(*) > 0 FROM n_in; COMMIT'), 't', 'until the library is used');
ok($lazy->poll_query_until('postgres', 'SELECT array_length(pids, 1) = 2 FROM kafka_subscriptions'), 'by whatever statement');
$lazy->safe_psql('postgres', qq{SELECT kafka_send('$topic.n', 'last', server => 'kafka')});
ok($lazy->poll_query_until('postgres', 'SELECT count(*) = 101 FROM n'), 'and they go on');
$lazy->safe_psql('postgres', q{SELECT kafka_pause('n')});
$lazy->restart;
$lazy->safe_psql('postgres', q{DO $$ BEGIN PERFORM kafka_fdw_version FROM (SELECT count(*) AS kafka_fdw_version FROM n_in) x; COMMIT; END $$});
is($lazy->safe_psql('postgres', "SELECT pg_sleep(0.1); $workers"), "\n0", 'one that is paused stays so');
$lazy->safe_psql('postgres', q{SELECT kafka_resume('n')});
ok($lazy->poll_query_until('postgres', 'SELECT array_length(pids, 1) = 2 FROM kafka_subscriptions'), 'till it is resumed');

done_testing();
