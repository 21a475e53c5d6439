# Narrow reads without a look at the topic: sql/narrow.sql shows that their results are the same; here,
# that they ask the broker for nothing but the messages, and what they do when those do not come.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;
use Time::HiRes qw(time);

my ($list_offsets, $metadata) = (2, 3);    # Kafka's numbers of these requests
my $mock = KafkaFdw::Test->tool('kmock', 2);
my $node = KafkaFdw::Test->new_node('narrow', $mock->greeting, server_options => "metadata_timeout '10s'");
my $session = KafkaFdw::Test->session($node);
my $narrow = 'SELECT count(*) FROM t WHERE partition = 0 AND "offset" BETWEEN 100 AND 109';
my $whole = 'SELECT count(*) FROM t';

$mock->ok('topic t 2 1');
$mock->ok('leader t 0 1');
$mock->ok('leader t 1 2');
$session->query(q{
	CREATE FOREIGN TABLE t (partition int, "offset" bigint, value text) SERVER kafka;
	INSERT INTO t (partition, value) SELECT i % 2, i FROM generate_series(1, 1000) i;
});
is($session->stderr, '', 'rows to read');
is($session->query($whole), 1000, 'the whole topic');

# Nobody answers a question about the topic.
sub answer_nothing
{
	$mock->ok("error $_ 10000 29") foreach $list_offsets, $metadata;
	return;
}

sub answer
{
	$mock->ok("clear $_") foreach $list_offsets, $metadata;
	return;
}

# Messages that take some time to come are asked after, rightly. On a busy machine they may: then it is tried
# again, with what a whole read has told.
sub asks_nothing
{
	my ($name, $expected, @queries) = @_;
	my $got;

	foreach my $try (1 .. 20)
	{
		answer_nothing();
		$got = join ' ', map { $session->query($_) } @queries;
		last if $got eq $expected;
		answer();
		$session->query($whole);
	}
	is($got, $expected, $name);
	return;
}

asks_nothing('narrow reads ask nothing else of the broker', '10 10', $narrow, $narrow . ' AND value <> \'\'');
asks_nothing('nor do those of two partitions, on two brokers', '4',
	'SELECT count(*) FROM t WHERE partition IN (0, 1) AND "offset" BETWEEN 7 AND 8');
answer_nothing();
$session->clear;
$session->query($whole);
like($session->stderr, qr/could not look up/, 'a wide one does');
$session->clear;
$session->query('SELECT count(*) FROM t WHERE partition = 0 AND "offset" BETWEEN 495 AND 504');
like($session->stderr, qr/could not look up/, 'as does a narrow one that reaches beyond the end');
answer();
is($session->query('SELECT count(*) FROM t WHERE partition = 0 AND "offset" BETWEEN 495 AND 504'),
	5, 'which is read to the end');

# Slow brokers cost time, not rows; a leader that moves is found.
is($session->query($whole), 1000, 'the whole topic again');
$mock->ok('rtt 1 300');
is($session->query($narrow), 10, 'round trips of 300 ms');
is($session->query($narrow), 10, 'and again');
$mock->ok('rtt 1 0');
$mock->ok('leader t 0 2');
is($session->query($narrow), 10, 'the leader has moved');
$mock->ok('down 2');
$session->clear;
$session->query($narrow);
like($session->stderr, qr/ERROR:  could not /, 'the leader is gone');
$mock->ok('up 2');
is($session->query($narrow), 10, 'it is back');

$session->quit;
$mock->quit;
done_testing();
