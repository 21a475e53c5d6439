# 085_subscription_conflict.pl
#		A subscription among other users of its target: deadlocks, policies, serialization.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;

my $node = KafkaFdw::Test->new_node('conflict', undef,
	conf => "shared_preload_libraries = 'kafka_fdw'\nmax_worker_processes = 16");
my $topic = KafkaFdw::Test->topic('in');

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

sub wait_for { return KafkaFdw::Test->becomes_true($node, @_[ 0, 1 ], 'kafka_subscriptions'); }

sql(qq{
	SELECT kafka_create_topic('$topic', 1, server => 'kafka');
	SELECT kafka_create_topic('$topic.p', 1, server => 'kafka');
	CREATE ROLE alice;
	GRANT CREATE ON SCHEMA public TO alice;
	GRANT USAGE ON FOREIGN SERVER kafka TO alice});

#----------------------------------------------------------------------
# A deadlock, whose victim is the worker
#----------------------------------------------------------------------

# The batch takes row 1, and row 2 when somebody waits for the first, as long as the gate is there.
sql(qq{
	CREATE FOREIGN TABLE t_in (value text) SERVER kafka OPTIONS (topic '$topic');
	CREATE TABLE account (id int PRIMARY KEY, n bigint);
	INSERT INTO account VALUES (1, 0), (2, 0);
	CREATE TABLE gate ();
	INSERT INTO gate DEFAULT VALUES;
	CREATE FUNCTION book(amount bigint) RETURNS void LANGUAGE plpgsql AS \$\$
		BEGIN
			UPDATE account SET n = n + amount WHERE id = 1;
			WHILE EXISTS (SELECT FROM gate) AND NOT EXISTS (SELECT FROM pg_locks
				WHERE locktype = 'transactionid' AND NOT granted) LOOP
				PERFORM pg_sleep(0.01);
			END LOOP;
			UPDATE account SET n = n + amount WHERE id = 2;
		END \$\$;
	ALTER SYSTEM SET deadlock_timeout = '100ms'});
sql('SELECT pg_reload_conf()');
my $user = KafkaFdw::Test->session($node);
$user->query(q{SET deadlock_timeout = '10min'; BEGIN; UPDATE account SET n = n + 1000 WHERE id = 2});
sql(qq{
	SELECT kafka_send('$topic', '1', server => 'kafka');
	SELECT kafka_subscribe('s', 't_in', command => 'SELECT book(sum(value::bigint)::bigint) FROM t_in HAVING count(*) > 0')});
wait_for(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'kafka_fdw subscription' AND wait_event = 'PgSleep'},
	'a batch has taken a row');
$user->query('UPDATE account SET n = n + 1000 WHERE id = 1');
wait_for(q{SELECT state = 'retrying' AND last_error LIKE 'deadlock detected%' FROM kafka_subscriptions}, 'a deadlock is retried');
sql('TRUNCATE gate');
$user->query('COMMIT');
wait_for(q{SELECT array_agg(n ORDER BY id) = '{1001,1001}' FROM account}, 'both have done their work, once');
wait_for(q{SELECT state = 'running' AND last_error IS NULL FROM kafka_subscriptions}, 'and it runs');
sql(q{SELECT kafka_unsubscribe('s')});
$user->quit;

#----------------------------------------------------------------------
# Row security
#----------------------------------------------------------------------

sql(qq{
	SET ROLE alice;
	CREATE FOREIGN TABLE p_in ("offset" bigint, value text) SERVER kafka OPTIONS (topic '$topic.p');
	CREATE TABLE p ("offset" bigint, value text);
	ALTER TABLE p ENABLE ROW LEVEL SECURITY;
	ALTER TABLE p FORCE ROW LEVEL SECURITY;
	CREATE POLICY mine ON p WITH CHECK (current_user = 'alice' AND value <> 'secret');
	SELECT kafka_send('$topic.p', 'public', server => 'kafka');
	SELECT kafka_subscribe('p', 'p_in', 'p')});
wait_for(q{SELECT string_agg(value, ' ') = 'public' FROM p}, 'a policy of the target lets through what it lets the owner');
sql(qq{SELECT kafka_send('$topic.p', 'secret', server => 'kafka')});
wait_for(q{SELECT state = 'stopped' AND last_error LIKE 'new row violates row-level security policy for table "p"%' FROM kafka_subscriptions},
	'and nothing else');
is(sql('SELECT count(*) FROM p'), '1', 'which is not stored');
sql(q{DROP POLICY mine ON p; CREATE POLICY all_of_it ON p WITH CHECK (current_user = 'alice'); SELECT kafka_resume('p')});
wait_for(q{SELECT string_agg(value, ' ' ORDER BY "offset") = 'public secret' FROM p}, 'with another policy it is');

# What a policy hides from the owner of the subscription is hidden from its command.
sql(qq{
	CREATE TABLE seen (n bigint);
	GRANT INSERT ON seen TO alice;
	SET ROLE alice;
	SELECT kafka_unsubscribe('p');
	SELECT kafka_subscribe('p', 'p_in', start_offset => 'newest', command => 'INSERT INTO seen SELECT count(*) FROM p');
	SELECT kafka_send('$topic.p', 'more', server => 'kafka')});
wait_for('SELECT count(*) = 1 FROM seen', 'a command');
is(sql('SELECT n FROM seen'), '0', 'sees what its owner sees');
sql(q{SELECT kafka_unsubscribe('p')});

#----------------------------------------------------------------------
# Serialization
#----------------------------------------------------------------------

# default_transaction_isolation is a user's; a batch is read committed.
sql(q{ALTER DATABASE postgres SET default_transaction_isolation = 'serializable'});
sql(qq{
	CREATE TABLE level (name text);
	SELECT kafka_subscribe('l', 't_in', start_offset => 'newest', command =>
		\$\$INSERT INTO level SELECT current_setting('transaction_isolation') FROM t_in\$\$);
	SELECT kafka_send('$topic', '1', server => 'kafka')});
wait_for(q{SELECT string_agg(name, ' ') = 'read committed' FROM level}, 'a batch is read committed whatever the database\'s default');

done_testing();
