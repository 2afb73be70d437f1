# A taken-over encoder: tries every way out and says how far it came, a line each: NAME yes|no WHY.
# Knows Perl's own functions alone: a cage shows it no module. Arguments: name=value.
my %know = map { /^(\w+)=(.*)$/s ? ($1 => $2) : () } @ARGV;
$| = 1;
$SIG{XFSZ} = 'IGNORE';

sub attempt { my ($name, $try) = @_; $! = 0; my $came = eval { $try->() }; print "$name ", ($came ? 'yes' : 'no'), " $!\n"; }
sub call { my ($name, @args) = @_; my $answer = syscall($know{$name} + 0, @args); return $answer >= 0; }
sub reads { my ($path) = @_; open(my $file, '<', $path) or return 0; my $got = sysread($file, my $bytes, 64); return defined $got && $got > 0; }
sub inet { my ($port) = @_; return pack('S n C4 x8', 2, $port, 127, 0, 0, 1); }
sub unix { my ($path) = @_; return pack('S a108', 1, $path); }

my ($STREAM, $DATAGRAM) = (1, 2);
attempt('tcp', sub { my $s; socket($s, 2, $STREAM, 0) && connect($s, inet($know{tcp})) });
attempt('udp', sub { my $s; socket($s, 2, $DATAGRAM, 0) && connect($s, inet($know{udp})) && send($s, 'secret', 0) && send($s, 'secret', 0) });
attempt('unix-socket', sub { my $s; socket($s, 1, $STREAM, 0) && connect($s, unix($know{unix})) });
attempt('abstract-socket', sub { my $s; socket($s, 1, $STREAM, 0) && connect($s, pack('S x a*', 1, $know{abstract})) });
attempt('io-uring', sub { my $parameters = "\0" x 120; call('io_uring_setup', 8, $parameters) });

attempt('read-link-key', sub { reads($know{key}) });
attempt('read-queue', sub { reads($know{queue}) });
attempt('read-passwd', sub { reads('/etc/passwd') });
attempt('list-folder', sub { my $folder; opendir($folder, $know{folder}) && defined readdir($folder) });
attempt('write-tmp', sub { my $file; open($file, '>', "$know{folder}/written") && syswrite($file, 'x') && close($file) });
attempt('truncate', sub { truncate($know{key2}, 0) });
attempt('unlink', sub { unlink($know{key3}) });
attempt('chmod', sub { chmod(0666, $know{key}) });
attempt('shell', sub { my $pid = fork(); return 0 unless defined $pid; if ($pid == 0) { exec('/bin/sh', '-c', 'exit 0'); exit 1; } waitpid($pid, 0); $? == 0 });

attempt('parent-environment', sub { reads("/proc/$know{service}/environ") });
attempt('parent-memory', sub { open(my $memory, '<', "/proc/$know{service}/mem") });
attempt('parent-descriptors', sub { my $folder; opendir($folder, "/proc/$know{service}/fd") && defined readdir($folder) });
attempt('parent-command', sub { reads("/proc/$know{service}/cmdline") });
attempt('ptrace', sub { call('ptrace', 0x4206, $know{service} + 0, 0, 0) });
# Address 4096 is nobody's: who may read says so (EFAULT, 14), who may not is not even told.
attempt('process-vm', sub { my $here = ' ' x 16; my ($to, $from) = (pack('P Q', $here, 16), pack('Q2', 4096, 16)); call('process_vm_readv', $know{service} + 0, $to, 1, $from, 1, 0) || $! == 14 });
attempt('pidfd', sub { call('pidfd_open', $know{service} + 0, 0) });

attempt('signal-parent', sub { kill(0, $know{service}) });
attempt('signal-other', sub { kill(0, $know{other}) });
attempt('signal-all', sub { kill(0, -1) });
attempt('signal-by-owner', sub { my $pid = $know{other} + 0; fcntl(STDIN, 8, $pid) });
attempt('slow-down-others', sub { my $mask = pack('Q', 1); call('sched_setaffinity', $know{other} + 0, 8, $mask) });

attempt('inherited', sub { for my $fd (grep { $_ > 2 } 0 .. 255) { return 1 if call('fcntl', $fd, 1) } return 0 });
attempt('raise-file-size', sub { my $limit = pack('Q2', ~0, ~0); call('prlimit64', 0, 1, $limit, 0) });
attempt('outlive', sub { call('prctl', 1, 0, 0, 0, 0) });
attempt('leave-session', sub { my $pid = fork(); return 0 unless defined $pid; exit(call('setsid') ? 0 : 1) if $pid == 0; waitpid($pid, 0); $? == 0 });
attempt('own-namespace', sub { call('unshare', 0x10000000) });
attempt('new-privileges', sub { open(my $status, '<', '/proc/self/status') or return 0; return grep { /^NoNewPrivs:\s+0/ } <$status> });
