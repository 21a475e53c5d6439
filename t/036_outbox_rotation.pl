# 036_outbox_rotation.pl
#		The outbox goes from table to table while transactions are prepared, sessions roll back to savepoints, and
#		processes are killed in the midst of it; and what else somebody may do to its tables and its sequence.
use strict;
use warnings;

use KafkaFdw::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $broker = KafkaFdw::Test->new_broker('rotation');
my $node = KafkaFdw::Test->new_node('rotation', $broker,
	conf => "shared_preload_libraries = 'kafka_fdw'\nmax_worker_processes = 16\nmax_prepared_transactions = 8\n"
	  . "restart_after_crash = on\nwal_level = logical\nkafka_fdw.outbox_segment_size = '64kB'\nkafka_fdw.relay_naptime = '1s'");
my $topic = KafkaFdw::Test->topic('rotation');
my $stored = 0;
my $session;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub becomes_true { return KafkaFdw::Test->becomes_true($node, @_[ 1, 0 ], 'kafka_relays'); }

sub enqueue { return "SELECT kafka_enqueue('$topic', '$_[0]', server => 'kafka');"; }

# The table in use.
sub current { return sql('SELECT n FROM kafka_outbox_current'); }

# Messages that make a table large enough, numbered.
sub fill
{
	my $first = $stored + 1;

	$stored += 500;
	sql(qq{SELECT count(kafka_enqueue('$topic', i || repeat('.', 200), server => 'kafka')) FROM generate_series($first, $stored) i});
	return;
}

# The outbox goes on in another table.
sub rotate
{
	my $before = current();

	fill();
	becomes_true("rotated: $_[0]", "SELECT n <> $before FROM kafka_outbox_current");
	return;
}

sub wait_for_empty_outbox
{
	becomes_true("the outbox becomes empty: $_[0]", 'SELECT NOT EXISTS (SELECT FROM kafka_outbox)');
	return;
}

# All that is not a number, in its order; and that the numbers are all there, once and in their order.
sub check_arrived
{
	my ($expected, $what) = @_;

	KafkaFdw::Test->settle($node, $topic);
	is(sql(qq{SELECT string_agg(value, ' ' ORDER BY "offset") FROM t WHERE value !~ '^\\d'}), $expected, "what arrived: $what");
	is(sql(q{SELECT count(*), count(DISTINCT n), count(*) FILTER (WHERE n < previous)
		FROM (SELECT n, lag(n) OVER (ORDER BY "offset") AS previous
			FROM (SELECT "offset", substring(value FROM '^\d+')::int AS n FROM t WHERE value ~ '^\d') m) o}), "$stored|$stored|0",
		'each of the others once, in their order');
	return;
}

# Start a server that has crashed, or see it start by itself.
sub after_crash
{
	my ($what) = @_;

	KafkaFdw::Test->wait_until(sub { return ($node->psql('postgres', 'SELECT 1'))[0] == 0; }) or die 'the server does not start';
	fill();
	wait_for_empty_outbox($what);
	return;
}

sql(qq{
	SELECT kafka_create_topic('$topic', 1, server => 'kafka');
	CREATE FOREIGN TABLE t ("offset" bigint, key text, value text) SERVER kafka OPTIONS (topic '$topic')});

#----------------------------------------------------------------------
# Prepared transactions
#----------------------------------------------------------------------

# The first in the table that is in use at first, the second in the next one.
my $first_table = current();
sql("BEGIN; SAVEPOINT a;" . enqueue('no') . "ROLLBACK TO a;" . enqueue('p1') . "SAVEPOINT b;" . enqueue('p1b')
	  . "RELEASE b; PREPARE TRANSACTION 'p1'");
sql("BEGIN;" . enqueue('p0') . "PREPARE TRANSACTION 'p0'");
rotate('one table is held');
my $second_table = current();
sql("BEGIN;" . enqueue('p2') . "PREPARE TRANSACTION 'p2'");
rotate('two are');
my $third_table = current();
is(join(' ', sort $first_table, $second_table, $third_table), '0 1 2', 'in each table once');
sql("BEGIN;" . enqueue('p3') . "PREPARE TRANSACTION 'p3'");
fill();
wait_for_empty_outbox('no table is to be had');
is(current(), $third_table, 'the messages go into the one that is in use');

foreach my $mode (qw(fast immediate))
{
	$node->stop($mode);
	$node->start;
	fill();
	wait_for_empty_outbox("restarted: $mode");
	is(current(), $third_table, 'the tables are still held');
}
check_arrived('', 'nothing that is only prepared');

sql(q{ROLLBACK PREPARED 'p1'});
fill();
wait_for_empty_outbox('one of the two that hold a table has gone');
is(current(), $third_table, 'which does not give it free');
sql(q{ROLLBACK PREPARED 'p0'});
becomes_true('a table is free again', "SELECT n = $first_table FROM kafka_outbox_current");
sql(q{COMMIT PREPARED 'p3'});
wait_for_empty_outbox('a late commit');
rotate('and its table');
is(current(), $third_table, 'can be emptied');
rotate('without the one still held');
sql(q{COMMIT PREPARED 'p2'});
wait_for_empty_outbox('the last');
becomes_true('its table is emptied', "SELECT pg_relation_size('kafka_outbox_$second_table') = 0");
check_arrived('p3 p2', 'what was committed, when it was');

#----------------------------------------------------------------------
# A savepoint's lock goes, and the table with it
#----------------------------------------------------------------------

$session = KafkaFdw::Test->session($node);
$session->query('BEGIN; SAVEPOINT a;' . enqueue('rolled back'));
rotate('a savepoint holds the last one');
$session->query(enqueue('rolled back, too') . 'ROLLBACK TO a');
rotate('both of its tables are free') for 1 .. 3;
$session->query(enqueue('after the savepoint') . 'COMMIT');
is($session->stderr, '', 'the transaction goes on');
$session->quit;
wait_for_empty_outbox('a savepoint');
check_arrived('p3 p2 after the savepoint', 'what was not rolled back');

#----------------------------------------------------------------------
# Killed in the midst of it
#----------------------------------------------------------------------

# Locks hold the relay up when it has emptied tables, or then gone on in one; neither is committed.
sub waits_midway
{
	my ($what, $for) = @_;

	becomes_true($what, qq{SELECT EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND NOT l.granted AND $for)
		AND EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.granted AND l.mode = 'AccessExclusiveLock'
			AND l.relation::regclass::text LIKE 'kafka_outbox__')
		FROM pg_stat_activity a WHERE backend_type = 'kafka_fdw relay'});
	return;
}

sub hold_midway
{
	my ($moment) = @_;
	my ($reader, $locker, $other) = map { KafkaFdw::Test->session($node) } 1 .. 3;
	my $all = q{(SELECT bool_and(pg_relation_size('kafka_outbox_' || i) > 65536) FROM generate_series(0, 2) i)};

	# A table that is read is not emptied: all are large then.
	$reader->query('BEGIN; LOCK TABLE kafka_outbox_0, kafka_outbox_1, kafka_outbox_2 IN ACCESS SHARE MODE');
	for (1 .. 3)
	{
		my $before = current();

		fill();
		becomes_true('a table is large', "SELECT n <> $before OR $all FROM kafka_outbox_current");
	}
	wait_for_empty_outbox('all of them');
	$locker->query('BEGIN; SELECT FROM kafka_outbox_current FOR UPDATE');
	$reader->query('COMMIT');
	waits_midway('two of them are emptied', q{l.locktype IN ('transactionid', 'tuple')});
	if ($moment eq 'changed')
	{
		$other->query('BEGIN; LOCK TABLE kafka_relay IN SHARE MODE');
		$locker->query('COMMIT');
		waits_midway('and the relay has gone on', q{l.relation = 'kafka_relay'::regclass});
	}
	return ($reader, $locker, $other);
}

my %blows = (emptied => [qw(relay postmaster)], changed => [qw(relay immediate)]);

foreach my $moment (sort keys %blows)
{
	foreach my $blow (@{ $blows{$moment} })
	{
		my @sessions = hold_midway($moment);
		my $relay = sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'kafka_fdw relay'});

		fill();					# who adds messages does not wait for it
		if ($blow eq 'relay')
		{
			my $logged = -s $node->logfile;

			kill 'KILL', $relay;
			KafkaFdw::Test->wait_until(sub { return slurp_file($node->logfile, $logged) =~ /all server processes terminated; reinitializing/ })
			  or die 'the server does not crash';
		}
		elsif ($blow eq 'immediate')
		{
			$node->stop('immediate');
			$node->start;
		}
		else
		{
			$node->kill9;
			KafkaFdw::Test->start_killed($node);
		}
		$_->kill foreach @sessions;
		after_crash("tables are $moment, and killed: $blow");
		rotate('it goes on') for 1 .. 2;
	}
}
wait_for_empty_outbox('at last');
check_arrived('p3 p2 after the savepoint', 'nothing more');

#----------------------------------------------------------------------
# What a database sets for its sessions, and what holds for all tables
#----------------------------------------------------------------------

# In another database than the one these are set for.
sub admin { return $node->safe_psql('template1', $_[0]); }

# The relay ends, and the next message starts one.
sub end_relay
{
	admin(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'kafka_fdw relay'});
	$node->poll_query_until('template1', q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'kafka_fdw relay')})
	  or die 'the relay does not end';
	return;
}

my %hostile = (
	role => 'app', default_transaction_isolation => 'serializable', default_transaction_read_only => 'on',
	default_transaction_deferrable => 'on', lock_timeout => '1', statement_timeout => '1', idle_in_transaction_session_timeout => '1',
	row_security => 'off', session_replication_role => 'replica', synchronous_commit => 'off', search_path => 'nowhere');
$hostile{transaction_timeout} = '1' if sql(q{SELECT count(*) FROM pg_settings WHERE name = 'transaction_timeout'});
admin('CREATE ROLE app; ' . join '', map { "ALTER DATABASE postgres SET $_ = '$hostile{$_}';" } sort keys %hostile);
$ENV{PGOPTIONS} = '-c role=none -c search_path=public -c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0'
  . ' -c session_replication_role=origin -c idle_in_transaction_session_timeout=0 -c default_transaction_isolation=serializable'
  . ($hostile{transaction_timeout} ? ' -c transaction_timeout=0' : '');
end_relay();
sql(enqueue('set for the database'));
wait_for_empty_outbox('a relay goes by its own settings');
$node->restart;
becomes_true('and so does what starts it with the server', q{SELECT state = 'running' FROM kafka_relays});
delete $ENV{PGOPTIONS};
admin("ALTER DATABASE postgres RESET ALL");

# To start what runs changes nothing.
sql(q{SELECT kafka_relay_start('kafka')});
fill();
wait_for_empty_outbox('started once more');
is(sql('SELECT state FROM kafka_relays'), 'running', 'the relay is running');

# Tables of which changes are published need a replica identity; an event trigger may forbid what it likes.
end_relay();
sql(q{CREATE PUBLICATION everything FOR ALL TABLES;
	CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'forbidden'; END $$;
	CREATE EVENT TRIGGER forbid ON ddl_command_start EXECUTE FUNCTION forbid()});
rotate('with a publication of all tables, and an event trigger') for 1 .. 3;
sql('ALTER EVENT TRIGGER forbid DISABLE; DROP EVENT TRIGGER forbid');

# Tables that are written anew, with messages that wait and some that were sent.
sub stop_relay
{
	sql(q{SELECT kafka_relay_stop('kafka')});
	becomes_true('stopped', q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'kafka_fdw relay')});
	return;
}

stop_relay();
fill();
for my $n (0 .. 2)
{
	my $index = sql("SELECT min(indexrelid::regclass::text) FROM pg_index WHERE indrelid = 'kafka_outbox_$n'::regclass");

	sql("CLUSTER kafka_outbox_$n USING $index");
	sql("VACUUM FULL kafka_outbox_$n");
	sql("REINDEX TABLE CONCURRENTLY kafka_outbox_$n");
	sql("UPDATE kafka_outbox_$n SET server = server");	# as kafka_adopt() does
}
sql($_) foreach 'VACUUM FULL kafka_outbox_current', 'VACUUM FULL kafka_relay', 'VACUUM FULL kafka_relay_progress';
sql(q{SELECT kafka_relay_start('kafka')});
fill();
wait_for_empty_outbox('tables written anew');

# A role that goes away with a message of its still waiting.
stop_relay();
sql('CREATE ROLE leaver; GRANT USAGE ON FOREIGN SERVER kafka TO leaver');
sql('SET ROLE leaver;' . enqueue('of nobody'));
sql(q{DROP OWNED BY leaver; DROP ROLE leaver; SELECT kafka_relay_start('kafka')});
wait_for_empty_outbox('a role that is gone');
is(sql(q{SELECT encode(value, 'escape'), error FROM kafka_dead_letters}), 'of nobody|the role that queued it does not exist any more',
	'its message is kept');
check_arrived('p3 p2 after the savepoint set for the database', 'whatever was done to the database');

#----------------------------------------------------------------------
# The numbers
#----------------------------------------------------------------------

foreach my $last ('2147483646', '4294967294', '9007199254740990')
{
	sql("SELECT setval('kafka_outbox_id', $last)");
	rotate("numbers from $last");
}
check_arrived('p3 p2 after the savepoint set for the database', 'with large numbers');

# A session would give those it has in store to messages when later ones have been sent.
foreach my $change ('CACHE 10', 'CACHE 1 INCREMENT -1', 'INCREMENT 1 CYCLE')
{
	like(KafkaFdw::Test->failure($node, "ALTER SEQUENCE kafka_outbox_id $change; " . enqueue('no')),
		qr/ERROR:  sequence "kafka_outbox_id" does not number messages in their order\nHINT:  ALTER SEQUENCE public.kafka_outbox_id INCREMENT 1 NO CYCLE CACHE 1/,
		"refused: $change");
}
sql('ALTER SEQUENCE public.kafka_outbox_id INCREMENT 1 NO CYCLE CACHE 1');
sql(enqueue('again'));

# Its end, and the way back from there.
$session = KafkaFdw::Test->session($node);
sql("SELECT setval('kafka_outbox_id', 9223372036854775805);" . enqueue('last but one') . enqueue('last'));
wait_for_empty_outbox('the last number');
my ($sqlstate, $said) = $session->failure(enqueue('beyond'));
is($sqlstate, '2200H', 'there is no number beyond the last');
like($said, qr/reached maximum value of sequence "kafka_outbox_id"/, 'and it is said so');
my $logged = -s $node->logfile;
sql("SELECT setval('kafka_outbox_id', 1);" . enqueue('first again'));
wait_for_empty_outbox('numbers that were given before');
like(slurp_file($node->logfile, $logged), qr/the numbers of the outbox's messages were set back/, 'which the relay says');
rotate('and later ones') for 1 .. 3;
$session->query(enqueue('from an older session'));
is($session->stderr, '', 'a session that knew higher ones goes on');
$session->quit;
wait_for_empty_outbox('of that session');
# A relay that was not there.
stop_relay();
sql("SELECT setval('kafka_outbox_id', 1); SELECT kafka_relay_start('kafka');" . enqueue('once more'));
wait_for_empty_outbox('set back while no relay runs');
check_arrived('p3 p2 after the savepoint set for the database again last but one last first again from an older session once more',
	'nothing is lost');

$node->stop;
done_testing();
