# t/089_subscription_snapshot.pl
#		Subscriptions while somebody has an old snapshot, as pg_dump has: what a batch costs in the catalogue does not
#		grow with the batches before it. It is counted in pages that are looked at, not in time.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;

my $broker = KafkaFdw::Test->new_broker;
my $node = KafkaFdw::Test->new_node('main', $broker);
my $topic = KafkaFdw::Test->topic('old');
my $batches = 2000;

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

sub wait_for
{
	my ($sql, $what) = @_;

	return ok($node->poll_query_until('postgres', $sql), $what);
}

# The pages of the catalogue's offsets that were looked at so far. A worker reports these when it waits.
sub pages
{
	return sql(q{SELECT heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit FROM pg_statio_all_tables
		WHERE relname = 'kafka_subscription_offset'});
}

# Send so many messages, of which each is a batch, and wait until they are stored; the pages that were looked at for it.
sub ingest
{
	my ($n) = @_;
	my $before = pages();
	my $stored = sql('SELECT count(*) FROM target');
	my $total = sql(q{SELECT n_tup_upd FROM pg_stat_all_tables WHERE relname = 'kafka_subscription_offset'});

	sql(qq{INSERT INTO source (value) SELECT i FROM generate_series(1, $n) AS i});
	wait_for("SELECT count(*) = $stored + $n FROM target", "$n messages are stored");
	wait_for(qq{SELECT n_tup_upd >= $total + $n FROM pg_stat_all_tables WHERE relname = 'kafka_subscription_offset'},
		'and counted');
	return pages() - $before;
}

sql(qq{
	SELECT kafka_create_topic('$topic', 1, server => 'kafka');
	CREATE FOREIGN TABLE source (value text) SERVER kafka OPTIONS (topic '$topic');
	CREATE TABLE target (value text);
	ALTER TABLE kafka_subscription_offset SET (autovacuum_enabled = false);
	SELECT kafka_subscribe('s', 'source', 'target', batch_size => 1)});
ingest(1);

my $holder = KafkaFdw::Test->session($node);
$holder->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM pg_class LIMIT 1');
my $first = ingest($batches);
ingest($batches);
my $last = ingest($batches);
note("pages: $first for the first $batches batches, $last for the last");
cmp_ok($last, '<', 2 * $first, 'a batch costs the same, however many old versions there are');
is(sql(q{SELECT state, last_error IS NULL FROM kafka_subscriptions}), 'running|t', 'and none was tried twice');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/have been changed meanwhile/, 'nor looked for in vain');
$holder->query('COMMIT');

# Where somebody else has changed the offsets, the worker finds them all the same.
my $stored = sql('SELECT count(*) FROM target');
sql("SELECT kafka_seek('s', '" . ($stored - 100) . q{')});
wait_for("SELECT count(*) = $stored + 100 FROM target", 'sent back, it reads again');
$holder->quit;
$node->stop;
done_testing();
