# KafkaFdw/Node.pm
#		A PostgreSQL of PostgreSQL::Test::Cluster that may be asked while it is down, or coming back: a psql
#		that finds no server ends without having read what it is to run, and where it does so before that
#		was written, IPC::Run dies of the broken pipe. Nothing has been run then, so it is asked again.
package KafkaFdw::Node;

use strict;
use warnings;

use parent 'PostgreSQL::Test::Cluster';

# What fits into a pipe at once: of more, a part may have been run.
use constant MAX_QUERY => 16384;

# What a method of the parent returns, once its psql has read the query.
sub _asked
{
	my ($self, $method, $dbname, $query, @rest) = @_;
	my $list = wantarray;

	while (1)
	{
		my @answer;

		return $list ? @answer : $answer[0]
		  if eval {
			@answer = $list ? $self->$method($dbname, $query, @rest) : scalar $self->$method($dbname, $query, @rest);
			1;
		  };
		die $@ if $@ !~ /Broken pipe/ || length($query // '') > MAX_QUERY;
	}
}

sub psql { my $self = shift; return $self->_asked('SUPER::psql', @_); }
sub poll_query_until { my $self = shift; return $self->_asked('SUPER::poll_query_until', @_); }

1;
