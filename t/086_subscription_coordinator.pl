# t/086_subscription_coordinator.pl
#		A subscription that commits to a consumer group whose coordinator cannot be found for longer than a commit
#		is waited for. That is done by a library between the two (t/tools/kmute.c).
use strict;
use warnings;

use KafkaFdw::Test;
use KafkaFdw::Tool;
use Test::More;

my $folder = PostgreSQL::Test::Utils::tempdir('mute');
my $mute = "$folder/mute";

chmod 0755, $folder;

# The postmaster, and so its workers, start with these.
$ENV{LD_PRELOAD} = KafkaFdw::Tool->library('kmute.so');
$ENV{KMUTE} = $mute;
my $node = KafkaFdw::Test->new_node('coordinator');
delete $ENV{LD_PRELOAD};

my $topic = KafkaFdw::Test->topic('in');
my $sent = 0;

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

sub wait_for { return KafkaFdw::Test->becomes_true($node, @_[ 0, 1 ], 'kafka_subscriptions'); }

sub produce
{
	$sent++;
	sql(qq{SELECT kafka_send('$topic', '$sent', server => 'kafka')});
	return wait_for("SELECT count(*) = $sent FROM t", "message $sent comes in");
}

my $offset = qq{SELECT current_offset FROM kafka_group_lag('$topic.group', server => 'kafka')};

sql(qq{
	SELECT kafka_create_topic('$topic', 1, server => 'kafka');
	CREATE FOREIGN TABLE t_in (value text) SERVER kafka OPTIONS (topic '$topic');
	CREATE TABLE t (value text);
	SELECT kafka_subscribe('s', 't_in', 't', "group" => '$topic.group')});
produce();
wait_for("SELECT ($offset) = $sent", 'the group has the offset');
my $pid = sql('SELECT pid FROM kafka_subscriptions');

open(my $file, '>', $mute) or die "$mute: $!";
close($file);
produce();
wait_for(q{SELECT state = 'running' AND last_error LIKE 'could not commit offsets to consumer group%Timed out%' FROM kafka_subscriptions},
	'a commit without an answer is given up');
produce();
is(sql($offset), 1, 'the group has the offset of before');
unlink $mute;
wait_for("SELECT ($offset) = $sent", 'it is told as soon as it can be');
wait_for('SELECT last_error IS NULL FROM kafka_subscriptions', 'and the error forgotten');
produce();
wait_for("SELECT ($offset) = $sent", 'it goes on');
is(sql('SELECT pid FROM kafka_subscriptions'), $pid, 'in the same process');

done_testing();
