# KafkaFdw/Tool.pm
#		A program of t/tools, which takes a command a line and answers each.
#
#	my $txn = KafkaFdw::Tool->new('ktxn', $bootstrap, 'some-transactional-id');
#	$txn->ok('begin');
#	my $where = $txn->ok('send mytopic 0 key value');	# "0 17": partition and offset
#	$txn->ok('abort');
#	my $mock = KafkaFdw::Tool->new('kmock', 3);
#	my $bootstrap = $mock->greeting;
#
# See the head of t/tools/ktxn.c and kmock.c for their commands.
package KafkaFdw::Tool;

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IPC::Run ();
use PostgreSQL::Test::Utils ();

my $folder = abs_path(dirname(__FILE__) . '/../../tools');

sub new
{
	my ($class, $name, @args) = @_;
	my $self = bless { name => $name, in => '', out => '', err => '' }, $class;

	_build($name);
	$self->{timer} = IPC::Run::timer($PostgreSQL::Test::Utils::timeout_default);
	$self->{run} = IPC::Run::start([ "$folder/$name", @args ],
		'<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err}, $self->{timer});
	$self->{greeting} = $self->_expect_ok('its start', $self->_answer);
	return $self;
}

# make installcheck does not build them.
sub _build
{
	my ($name) = @_;

	return if -x "$folder/$name";
	system('make', '-s', '-C', $folder, $name) == 0 or die "could not build t/tools/$name";
	return;
}

# The path of one that is loaded into other programs: kspy.so, kplugin.so, kmute.so.
sub library
{
	my ($class, $name) = @_;

	_build($name);
	return "$folder/$name";
}

# What it said as it started, without the "ok".
sub greeting
{
	my ($self) = @_;

	return $self->{greeting};
}

# Its next line.
sub _answer
{
	my ($self) = @_;

	$self->{timer}->start($PostgreSQL::Test::Utils::timeout_default);
	while ($self->{out} !~ /\n/)
	{
		die "$self->{name} does not answer: $self->{err}" if $self->{timer}->is_expired;
		last if !$self->{run}->pump;
	}
	$self->{timer}->reset;
	$self->{out} =~ s/^(.*)\n// or die "$self->{name} has ended: $self->{err}";
	return $1;
}

sub _expect_ok
{
	my ($self, $command, $answer) = @_;

	$answer =~ s/^ok ?// or die "$self->{name}: $command: $answer";
	return $answer;
}

# Give a command, and return the answer, whatever it is.
sub do
{
	my ($self, $command) = @_;

	$self->{in} .= "$command\n";
	return $self->_answer;
}

# Give a command that must succeed; returns what follows "ok".
sub ok
{
	my ($self, $command) = @_;

	return $self->_expect_ok($command, $self->do($command));
}

sub quit
{
	my ($self) = @_;

	return if !$self->{run};
	$self->{in} .= "quit\n";
	eval { $self->{run}->finish };
	delete $self->{run};
	return;
}

# kill -9 it: an open transaction of ktxn stays open until the broker's timeout.
sub kill
{
	my ($self) = @_;

	return if !$self->{run};
	$self->{run}->kill_kill(grace => 0);
	delete $self->{run};
	return;
}

sub DESTROY
{
	my ($self) = @_;

	local ($?, $@);
	eval { $self->kill };
	return;
}

1;
