# 086_compacted.pl
#		A mirror of a compacted topic has the last value of each key: one that followed all messages,
#		one that stopped in between, and one that began when the cleaner had been there.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;

my $node = KafkaFdw::Test->new_node('compacted', undef, conf => "shared_preload_libraries = 'kafka_fdw'");
my $topic = KafkaFdw::Test->topic('compacted');

$node->safe_psql('postgres', qq{
	SELECT kafka_create_topic('$topic', 2, config => '{"cleanup.policy": "compact", "segment.ms": 100,
		"min.cleanable.dirty.ratio": 0.01, "min.compaction.lag.ms": 0, "max.compaction.lag.ms": 100, "delete.retention.ms": 100}');
	CREATE FOREIGN TABLE topic (partition int, "offset" bigint, key text, value text) SERVER kafka OPTIONS (topic '$topic');
	CREATE TABLE follower (key text PRIMARY KEY, value text);
	CREATE TABLE sleeper (key text PRIMARY KEY, value text);
	CREATE TABLE late (key text PRIMARY KEY, value text);
	CREATE TABLE sent (n serial, key text, value text);
	SELECT kafka_subscribe('follower', 'topic', 'follower', mode => 'upsert', batch_size => 100);
	SELECT kafka_subscribe('sleeper', 'topic', 'sleeper', mode => 'upsert');
	SELECT setseed(0.5)});

# What was sent last for a key that was not deleted: the truth, whatever is left of the topic.
my $truth = q{SELECT DISTINCT ON (key) key, value FROM sent ORDER BY key, n DESC};

sub send_some
{
	my ($n) = @_;

	$node->safe_psql('postgres', qq{
		WITH s AS (INSERT INTO sent (key, value)
			SELECT 'k' || (random() * 100)::int, CASE WHEN random() < 0.7 THEN 'v' || g END FROM generate_series(1, $n) g RETURNING *)
		INSERT INTO topic (key, value) SELECT key, value FROM s ORDER BY n});
	return;
}

sub equals
{
	my ($table, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	KafkaFdw::Test->becomes_true($node, qq{SELECT NOT EXISTS (
		(SELECT * FROM ($truth) x WHERE value IS NOT NULL EXCEPT SELECT * FROM $table) UNION ALL
		(SELECT * FROM $table EXCEPT SELECT * FROM ($truth) x WHERE value IS NOT NULL))}, "$table: $what", 'kafka_subscriptions');
	return;
}

send_some(2000);
equals('follower', 'has the last values');
equals('sleeper', 'likewise');
$node->safe_psql('postgres', q{SELECT kafka_pause('sleeper')});
send_some(200);
equals('follower', 'goes on');

# A segment is compacted when it is no longer the last one, which takes a message after its time.
# Tombstones go too, which the sleeper has not read: so those it needs are sent once more below.
my $left = q{SELECT count(*) < 250 FROM topic WHERE key LIKE 'k%'};
ok(KafkaFdw::Test->wait_until(sub {
	$node->safe_psql('postgres', q{
		WITH s AS (INSERT INTO sent (key, value) SELECT 'roll' || g, 'x' FROM generate_series(1, 8) g RETURNING *)
		INSERT INTO topic (key, value) SELECT key, value FROM s});
	return $node->safe_psql('postgres', $left) eq 't';
}), 'compacted');
is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM topic t WHERE NOT EXISTS (SELECT FROM topic p WHERE p.partition = t.partition AND p."offset" = t."offset" - 1)}),
	't', 'there are gaps');
$node->safe_psql('postgres', q{SELECT kafka_subscribe('late', 'topic', 'late', mode => 'upsert')});
equals('late', 'begins with what is left');
equals('follower', 'has the same');

$node->safe_psql('postgres', qq{
	INSERT INTO topic (key, value) SELECT key, value FROM ($truth) x WHERE value IS NULL;
	SELECT kafka_resume('sleeper')});
equals('sleeper', 'wakes up behind what it had read');
send_some(300);
equals($_, 'goes on') foreach qw(follower sleeper late);
is($node->safe_psql('postgres', q{SELECT count(*) FROM kafka_subscriptions WHERE last_error IS NULL}), 3, 'without an error');
done_testing();
