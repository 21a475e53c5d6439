# 032_outbox_copies.pl
#		Copies of a database with an outbox: a promoted standby goes on where the primary stopped, a clone
#		and its original do not both send, and what is restored from a dump waits until it is adopted.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;

my $broker = KafkaFdw::Test->new_broker('copies');
my $topic = KafkaFdw::Test->topic('copies');
my $primary = KafkaFdw::Test->new_node('primary', $broker, init => { allows_streaming => 1 },
	conf => "shared_preload_libraries = 'kafka_fdw'\nmax_worker_processes = 12\nkafka_fdw.relay_naptime = '60s'");

sub wait_for_empty_outbox
{
	my ($node, $what, $database) = @_;

	ok($node->poll_query_until($database // 'postgres', 'SELECT NOT EXISTS (SELECT FROM kafka_outbox)'), $what)
	  or diag $node->safe_psql($database // 'postgres', 'SELECT * FROM kafka_relays');
	return;
}

sub enqueue
{
	my ($node, $value, $database, $server) = @_;

	return $node->safe_psql($database // 'postgres',
		"SELECT kafka_enqueue('$topic', $value, server => '" . ($server // 'kafka') . "')");
}

# All that arrived, sorted; what is there twice is seen twice.
sub arrived
{
	my ($node, $like, $server) = @_;

	KafkaFdw::Test->settle($node, $topic, $server);
	return $node->safe_psql('postgres', "SELECT string_agg(value, ' ' ORDER BY value) FROM t WHERE value LIKE '$like%'");
}

$primary->safe_psql('postgres', qq{
	SELECT kafka_create_topic('$topic', 1, server => 'kafka');
	CREATE FOREIGN TABLE t ("offset" bigint, key text, value text) SERVER kafka OPTIONS (topic '$topic')});

#----------------------------------------------------------------------
# Preloaded, it starts with the server
#----------------------------------------------------------------------

enqueue($primary, q('first'));
wait_for_empty_outbox($primary, 'the relay of the primary');
$broker->pause;
enqueue($primary, q('started with the server'));
$primary->stop('immediate');
$broker->resume;
$primary->start;
wait_for_empty_outbox($primary, 'what waits is sent after a restart, without a further message');

#----------------------------------------------------------------------
# A database that it runs in can be dropped
#----------------------------------------------------------------------

$primary->safe_psql('postgres', 'CREATE DATABASE dropped');
$primary->safe_psql('dropped', 'CREATE EXTENSION kafka_fdw; CREATE SERVER kafka FOREIGN DATA WRAPPER kafka_fdw'
	  . " OPTIONS (bootstrap_servers '" . $broker->bootstrap . "')");
enqueue($primary, q('from the dropped one'), 'dropped');
wait_for_empty_outbox($primary, 'its relay runs', 'dropped');
my ($status, $out, $err) = $primary->psql('postgres', 'DROP DATABASE dropped');
is($status, 0, 'DROP DATABASE does not meet the relay') or diag $err;

#----------------------------------------------------------------------
# A standby sends nothing; promoted, it sends what is left, once
#----------------------------------------------------------------------

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "primary_conninfo = '" . $primary->connstr . " application_name=standby'");
$standby->start;
$primary->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = 'standby'});
$primary->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_commit = 'remote_apply'});
$primary->reload;
# Commits wait for it once the checkpointer has read that, as it has when it comes to a second checkpoint: who
# sees the setting was started after all others had been told.
$primary->poll_query_until('postgres', q{SELECT current_setting('synchronous_standby_names') = 'standby'
	AND current_setting('synchronous_commit') = 'remote_apply'}) or die 'the setting is not read';
$primary->safe_psql('postgres', 'CHECKPOINT') for 1 .. 2;
enqueue($primary, "'sync $_'") for 1 .. 5;
wait_for_empty_outbox($primary, 'the primary relays while a standby follows');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'kafka_fdw%'}),
	'0', 'no relay runs on a standby');
($status, $out, $err) = $standby->psql('postgres', "SELECT kafka_enqueue('$topic', 'v', server => 'kafka')");
like($err, qr/cannot execute kafka_enqueue\(\) during recovery/, 'nor can it be written to there');

# The primary dies with a batch under way, whose outcome it does not know.
$broker->pause;
enqueue($primary, "'left $_'") for 1 .. 5;
ok($primary->poll_query_until('postgres', 'SELECT batch IS NOT NULL FROM kafka_relay_progress'),
	'a batch is recorded');
$primary->stop('immediate');
$standby->safe_psql('postgres', 'ALTER SYSTEM RESET synchronous_standby_names');
$broker->resume;
$standby->promote;
$standby->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = ''; });
$standby->reload;
wait_for_empty_outbox($standby, 'the promoted standby sends what is left, without a further message');
is(arrived($standby, 'left'), 'left 1 left 2 left 3 left 4 left 5', 'once each');
is(arrived($standby, 'sync'), 'sync 1 sync 2 sync 3 sync 4 sync 5', 'and nothing again');

#----------------------------------------------------------------------
# A clone: two that have the same identity
#----------------------------------------------------------------------

$standby->backup('clone');
my $clone = PostgreSQL::Test::Cluster->new('clone');
$clone->init_from_backup($standby, 'clone');
$clone->start;
for my $round (1 .. 40)
{
	last if grep { $_->safe_psql('postgres', 'SELECT state FROM kafka_relays') eq 'fenced' } $standby, $clone;
	enqueue($_, "'clone $round'") for $standby, $clone;
	sleep 1;
}
my @fenced = grep { $_->safe_psql('postgres', 'SELECT state FROM kafka_relays') eq 'fenced' } $standby, $clone;
cmp_ok(scalar @fenced, '>=', 1, 'one of two that take each other\'s place gives up');
my $fenced = $fenced[0];
enqueue($fenced, q('by the fenced'));
ok($fenced->poll_query_until('postgres', 'SELECT pid IS NULL FROM kafka_relays'), 'its process ends');
is($fenced->safe_psql('postgres', 'SELECT state, waiting > 0 FROM kafka_relays'), 'fenced|t', 'it keeps what it has');
$_->safe_psql('postgres', 'SELECT kafka_adopt()') for @fenced;
wait_for_empty_outbox($fenced, 'until it is adopted: under a name of its own it sends');
wait_for_empty_outbox($_, 'as the other does') for $standby, $clone;
is(arrived($standby, 'by the fenced'), 'by the fenced', 'what it had');
$clone->stop;

#----------------------------------------------------------------------
# A dump: what waits is kept, and waits until the copy is adopted
#----------------------------------------------------------------------

$standby->safe_psql('postgres', q{SELECT kafka_relay_stop('kafka')});
ok($standby->poll_query_until('postgres', q{SELECT state = 'stopped' FROM kafka_relays}), 'stopped');
enqueue($standby, "'dumped $_'") for 1 .. 3;
# As a relay that runs writes it down. The rows keep the old name.
$standby->safe_psql('postgres', q{ALTER SERVER kafka RENAME TO renamed; UPDATE kafka_relay SET server = 'renamed'});
my $dump = $standby->basedir . '/dump.sql';
$standby->command_ok([ 'pg_dump', '-h', $standby->host, '-p', $standby->port, '-f', $dump, 'postgres' ], 'pg_dump');
$standby->safe_psql('postgres', 'CREATE DATABASE restored');
$standby->command_ok([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-h', $standby->host, '-p', $standby->port, '-q', '-f', $dump,
	'restored' ], 'restored');
is($standby->safe_psql('restored', 'SELECT count(*) FROM kafka_outbox'), '3', 'the waiting rows are there');
is($standby->safe_psql('restored', 'SELECT DISTINCT state, pid FROM kafka_relays'), 'fenced|',
	'and the view says fenced before any relay has come to know');
$standby->safe_psql('restored', q{SELECT kafka_relay_start('renamed')});
enqueue($standby, q('dumped too'), 'restored', 'renamed');
ok($standby->poll_query_until('restored', q{SELECT bool_or(state = 'fenced') FROM kafka_relay}),
	'the relay of the copy finds that it is fenced');
is($standby->safe_psql('restored', 'SELECT count(*) FROM kafka_outbox'), '4', 'and nothing is sent');
is(arrived($standby, 'dumped', 'renamed'), '', 'nothing at all');
# Somebody is about to commit a message meanwhile.
my $writer = KafkaFdw::Test->session($standby, dbname => 'restored');
my $adopter = KafkaFdw::Test->session($standby, dbname => 'restored');
$writer->query("BEGIN; SELECT kafka_enqueue('$topic', 'dumped meanwhile', server => 'renamed')");
$adopter->send('SELECT kafka_adopt()');
$standby->poll_query_until('restored', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = " . $adopter->pid)
  or die 'nobody waits for the writer';
$writer->query('COMMIT');
$adopter->finish;
is($writer->stderr . $adopter->stderr, '', 'who writes while it is adopted and who adopts it do not wait for one another');
$_->quit foreach $writer, $adopter;
$standby->safe_psql('restored', q{SELECT kafka_relay_start('renamed')});
wait_for_empty_outbox($standby, 'once adopted, it is', 'restored');
is(arrived($standby, 'dumped', 'renamed'), 'dumped 1 dumped 2 dumped 3 dumped meanwhile dumped too', 'each once');
ok($standby->poll_query_until('restored', q{SELECT state = 'running' FROM kafka_relays}), 'it runs');
is($standby->safe_psql('restored', q{SELECT kafka_adopt(); SELECT state FROM kafka_relays}), "\nrunning",
	'to adopt it again changes nothing');
enqueue($standby, q('dumped last'), 'restored', 'renamed');
wait_for_empty_outbox($standby, 'and it goes on', 'restored');
$standby->stop;

done_testing();
