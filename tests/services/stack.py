"""Throw-away services on loopback: PostgreSQL, RabbitMQ, SLURM with MUNGE, and sshd, each a process tree of its own.

Everything lives under one temporary folder, on free ports, with keys made for the occasion; nothing of the system's own
configuration is read or written. Needs root and the Debian packages that `make test-services` installs.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import textwrap
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import psutil

__all__ = ('Postgresql', 'Rabbitmq', 'Slurm', 'Sshd', 'missing_programs')

PROGRAMS = {
    'postgresql': '/usr/lib/postgresql/*/bin/postgres',
    'rabbitmq-server': '/usr/lib/rabbitmq/bin/rabbitmq-server',
    'slurmctld': '/usr/sbin/slurmctld',
    'slurmd': '/usr/sbin/slurmd',
    'slurm-client': '/usr/bin/sbatch',
    'munge': '/usr/sbin/munged',
    'openssh-server': '/usr/sbin/sshd',
}


def missing_programs() -> list[str]:
    """Return the Debian packages whose programs are not on this machine."""
    return [name for name, pattern in PROGRAMS.items() if not list(Path('/').glob(pattern.lstrip('/')))]


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return int(server.getsockname()[1])


class Service:
    """A program in the foreground, started in a session of its own so that all of it can be stopped."""

    def __init__(self, folder: Path, user: str = 'root') -> None:
        self.folder = folder
        self.user = user
        self.children: list[subprocess.Popen] = []
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o755)
        self.own(self.folder)

    def own(self, path: Path) -> None:
        """Give a file or folder to the user that the service runs as."""
        entry = pwd.getpwnam(self.user)
        os.chown(path, entry.pw_uid, entry.pw_gid)

    def environment(self) -> dict[str, str]:
        """Return the environment of the programs of the service."""
        return {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': str(self.folder), 'LANG': 'C.UTF-8'}

    def write(self, name: str, text: str, mode: int = 0o644) -> Path:
        """Write a file of the service and return its path."""
        path = self.folder / name
        path.write_text(textwrap.dedent(text))
        path.chmod(mode)
        self.own(path)
        return path

    def spawn(self, *command: t.Any) -> None:
        """Start a program that stays; its output goes to a log file."""
        with (self.folder / f'{Path(command[0]).name}.log').open('ab') as log:
            self.children.append(
                subprocess.Popen(
                    [str(part) for part in command],
                    env=self.environment(),
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    **self.identity(),
                )
            )

    def run(self, *command: t.Any, check: bool = True) -> subprocess.CompletedProcess:
        """Run a program to its end as the user of the service."""
        result = subprocess.run(
            [str(part) for part in command],
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **self.identity(),
        )
        assert not check or result.returncode == 0, f'{command}\n{result.stdout}{result.stderr}{self.logs()}'
        return result

    def identity(self) -> dict[str, t.Any]:
        """Return the arguments by which a child becomes the user of the service."""
        entry = pwd.getpwnam(self.user)
        return {'user': entry.pw_uid, 'group': entry.pw_gid, 'extra_groups': []}

    def logs(self) -> str:
        """Return the end of all log files, for the message of a failed test."""
        return '\n'.join(f'--- {path.name}\n{path.read_text()[-2000:]}' for path in sorted(self.folder.glob('*.log')))

    def start(self) -> None:
        """Start the service and wait until it answers."""
        self.launch()
        deadline = time.monotonic() + 60
        while not self.answers():
            assert time.monotonic() < deadline, f'{type(self).__name__} does not answer\n{self.logs()}'
            time.sleep(0.2)

    def launch(self) -> None:
        """Start the programs."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Return whether the service can be used."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop the service and everything it has started, at once where a signal does not help."""
        for child in reversed(self.children):
            self.end(child)
        self.children.clear()

    def end(self, child: subprocess.Popen, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask a program to end, wait, and kill what is left of its tree."""
        tree: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            tree = [*psutil.Process(child.pid).children(recursive=True), psutil.Process(child.pid)]
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=20)
        for process in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        child.wait()

    def restart(self, pause: float = 0.0) -> None:
        """Stop the service, leave it down for ``pause`` seconds, and start it again."""
        self.stop()
        time.sleep(pause)
        self.start()


class Postgresql(Service):
    """A cluster of its own with one superuser, reached by a password over TCP."""

    USERNAME = 'qagenai'

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, 'postgres' if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)
        self.bin = max(Path('/usr/lib/postgresql').glob('*/bin'))
        self.port, self.password = free_port(), secrets.token_hex(8)
        password_file = self.write('password', self.password, 0o600)
        arguments = ['--auth=scram-sha-256', f'--username={self.USERNAME}', f'--pwfile={password_file}']
        self.run(self.bin / 'initdb', '--locale=C.UTF-8', '--encoding=UTF8', *arguments, folder / 'data')

    def environment(self) -> dict[str, str]:
        """Add the password, for psql."""
        return {**super().environment(), 'PGPASSWORD': self.password}

    def launch(self) -> None:
        """Start the server; what a crash of this machine may lose is of no interest here, hence no fsync."""
        options = ['listen_addresses=127.0.0.1', f'unix_socket_directories={self.folder}', 'fsync=off']
        settings = [part for option in options for part in ('-c', option)]
        self.spawn(self.bin / 'postgres', '-D', self.folder / 'data', '-p', self.port, *settings)

    def answers(self) -> bool:
        """Ask the server."""
        return self.run(self.bin / 'pg_isready', '-h', '127.0.0.1', '-p', self.port, check=False).returncode == 0

    def end(self, child: subprocess.Popen, number: signal.Signals = signal.SIGINT) -> None:
        """Shut down as `pg_ctl -m fast` does: open connections are cut."""
        super().end(child, number)

    def create_database(self, name: str) -> str:
        """Create an empty database and return its URL."""
        self.query('postgres', f'CREATE DATABASE "{name}" TEMPLATE template0')
        return f'postgresql://{self.USERNAME}:{self.password}@127.0.0.1:{self.port}/{name}'

    def query(self, database: str, command: str) -> str:
        """Run SQL and return what it prints, without decoration."""
        return self.run('psql', *self.address(database), '-c', command).stdout.strip()

    def address(self, database: str) -> list[str]:
        """Return the options of psql by which it reaches a database and prints without decoration."""
        return ['-h', '127.0.0.1', '-p', str(self.port), '-U', self.USERNAME, '-qAt', '-d', database]

    @contextlib.contextmanager
    def session(self, database: str, command: str) -> Iterator[None]:
        """Keep a session open in which SQL was run."""
        line = ['psql', *self.address(database)]
        pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
        with subprocess.Popen(line, env=self.environment(), **pipes, **self.identity()) as client:
            client.stdin.write(f"{command};\nSELECT 'done';\n")
            client.stdin.flush()
            while client.stdout.readline().strip() != 'done':
                assert client.poll() is None
            try:
                yield
            finally:
                client.kill()


class Rabbitmq(Service):
    """A node of its own with a port mapper of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, 'rabbitmq')
        self.port, self.mapper_port, self.distribution_port = free_port(), free_port(), free_port()
        self.write('.erlang.cookie', secrets.token_hex(16), 0o400)
        self.write('enabled_plugins', '[].\n')
        # The timeout has to exceed the longest job, or its task would be handed out a second time.
        self.write(
            'rabbitmq.conf',
            f"""\
            listeners.tcp.1 = 127.0.0.1:{self.port}
            consumer_timeout = 3600000000
            disk_free_limit.absolute = 50MB
            """,
        )
        self.url = f'amqp://guest:guest@127.0.0.1:{self.port}'

    def environment(self) -> dict[str, str]:
        """Name the node and put everything it writes into the folder."""
        return {
            **super().environment(),
            'RABBITMQ_NODENAME': f'qagenai{self.port}@localhost',
            'RABBITMQ_CONFIG_FILE': str(self.folder / 'rabbitmq.conf'),
            'RABBITMQ_ENABLED_PLUGINS_FILE': str(self.folder / 'enabled_plugins'),
            'RABBITMQ_MNESIA_BASE': str(self.folder / 'mnesia'),
            'RABBITMQ_LOG_BASE': str(self.folder),
            'RABBITMQ_PID_FILE': str(self.folder / 'pid'),
            'RABBITMQ_DIST_PORT': str(self.distribution_port),
            'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS': '-kernel inet_dist_use_interface {127,0,0,1}',
            'ERL_EPMD_PORT': str(self.mapper_port),
            'ERL_EPMD_ADDRESS': '127.0.0.1',
        }

    def launch(self) -> None:
        """Start the port mapper, which the node would leave behind if it started it itself, and the node."""
        self.spawn('/usr/bin/epmd', '-port', self.mapper_port, '-address', '127.0.0.1')
        self.spawn('/usr/lib/rabbitmq/bin/rabbitmq-server')

    def answers(self) -> bool:
        """Return whether the port takes a protocol header: the node listens last of all."""
        with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', self.port), timeout=2) as client:
            client.sendall(b'AMQP\x00\x00\x09\x01')
            return client.recv(4) != b''
        return False


class Munge(Service):
    """The authentication that SLURM needs, with a key of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, 'munge')
        self.socket = folder / 'socket'
        self.key = folder / 'key'
        self.key.write_bytes(secrets.token_bytes(128))
        self.key.chmod(0o400)
        self.own(self.key)

    def launch(self) -> None:
        """Start it."""
        files = {'key-file': self.key, 'socket': self.socket, 'pid-file': 'pid', 'seed-file': 'seed'}
        paths = [f'--{name}={self.folder / path}' for name, path in files.items()]
        self.spawn('/usr/sbin/munged', '--foreground', '--force', *paths)

    def answers(self) -> bool:
        """Return whether a credential can be made."""
        return self.run('munge', f'--socket={self.socket}', '-n', check=False).returncode == 0


def job_processes(job: str) -> list[psutil.Process]:
    """Return the processes of a job of SLURM, which says so in their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get('SLURM_JOB_ID') == job and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


class Slurm(Service):
    """One node with two CPUs and what passes for a GPU, whose controller and daemon run on this machine."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.munge = Munge(folder / 'munge')
        self.name = socket.gethostname().split('.')[0]
        for part in ('state', 'spool'):
            (folder / part).mkdir()
        self.configuration = self.write(
            'slurm.conf',
            f"""\
            ClusterName=qagenai
            SlurmctldHost={self.name}(127.0.0.1)
            SlurmctldPort={free_port()}
            SlurmdPort={free_port()}
            SlurmUser=root
            AuthType=auth/munge
            AuthInfo=socket={self.munge.socket}
            CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
            StateSaveLocation={folder}/state
            SlurmdSpoolDir={folder}/spool
            SlurmctldPidFile={folder}/slurmctld.pid
            SlurmdPidFile={folder}/slurmd.pid
            ProctrackType=proctrack/linuxproc
            TaskPlugin=task/none
            MpiDefault=none
            ReturnToService=2
            SchedulerType=sched/backfill
            SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
            SelectType=select/cons_tres
            SelectTypeParameters=CR_CPU
            MinJobAge=300
            KillWait=2
            OverTimeLimit=0
            GresTypes=gpu
            NodeName={self.name} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000 Gres=gpu:1
            PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE OverSubscribe=NO
            PartitionName=gpu Nodes=ALL MaxTime=INFINITE OverSubscribe=NO
            """,
        )
        # SLURM counts and hands out devices by their files: any will do for jobs that only ask for a GPU.
        self.write('gres.conf', 'Name=gpu File=/dev/null\n')

    def environment(self) -> dict[str, str]:
        """Point all commands to this cluster."""
        return {**super().environment(), 'SLURM_CONF': str(self.configuration)}

    def launch(self) -> None:
        """Start the authentication, the controller and the node."""
        self.munge.start()
        self.spawn('/usr/sbin/slurmctld', '-D')
        self.spawn('/usr/sbin/slurmd', '-D')

    def answers(self) -> bool:
        """Return whether the node takes jobs."""
        return self.run('sinfo', '--noheader', '--format=%T', check=False).stdout.strip() in {'idle', 'mixed'}

    def stop(self) -> None:
        """End the jobs first: they run in process trees of their own."""
        self.run('scancel', '--user=root', '--signal=KILL', check=False)
        super().stop()
        self.munge.stop()

    def jobs(self, states: str = 'RUNNING') -> list[str]:
        """Return the numbers of the jobs in a state, or in one of several."""
        return self.run('squeue', '--noheader', '--format=%A', f'--states={states}').stdout.split()

    def freeze(self) -> list[str]:
        """Suspend all jobs that run, so that none can end by itself, and return their numbers."""
        return sorted(job for job in self.jobs() if self.signal(job, signal.SIGSTOP))

    def thaw(self, *jobs: str) -> None:
        """Let suspended jobs go on."""
        for job in jobs:
            self.signal(job, signal.SIGCONT)

    def signal(self, job: str, number: signal.Signals) -> bool:
        """Signal all processes of a job and return whether it has any: one that SLURM calls running may be starting."""
        deadline, frozen = time.monotonic() + 30, psutil.STATUS_STOPPED
        while processes := job_processes(job):
            if all((process.status() == frozen) == (number is signal.SIGSTOP) for process in processes):
                return True
            assert time.monotonic() < deadline, f'the processes of job {job} do not heed a signal'
            for process in processes:
                process.send_signal(number)
            time.sleep(0.2)
        return False

    def overrun(self, job: str) -> None:
        """Let the time of a job be over; SLURM looks at its limits every half minute."""
        self.run('scontrol', 'update', f'JobId={job}', 'EndTime=now+1')


class Sshd(Service):
    """A server on a high port that lets root in by one key, and the client's files in a home of its own."""

    HOST = 'cluster'

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.home = folder / 'home'
        (self.home / '.ssh').mkdir(parents=True, mode=0o700)
        for path in (folder / 'host_key', self.home / '.ssh' / 'id_ed25519'):
            self.run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'throw-away', '-f', path)
        shutil.copy(self.home / '.ssh' / 'id_ed25519.pub', folder / 'authorized_keys')
        # A home without start-up files: those of root are slow, and may hold a lock when a connection is cut.
        environment = {**environment, 'HOME': str(self.home)}
        variables = ' '.join(f'{name}={value}' for name, value in environment.items())
        self.configuration = self.write(
            'sshd_config',
            f"""\
            Port {self.port}
            ListenAddress 127.0.0.1
            HostKey {folder}/host_key
            AuthorizedKeysFile {folder}/authorized_keys
            PidFile {folder}/sshd.pid
            AuthenticationMethods publickey
            PermitRootLogin prohibit-password
            StrictModes no
            UsePAM no
            MaxStartups 100
            SetEnv {variables}
            Subsystem sftp internal-sftp
            """,
        )
        host_key = (folder / 'host_key.pub').read_text()
        (self.home / '.ssh' / 'known_hosts').write_text(f'[127.0.0.1]:{self.port} {host_key}')
        (self.home / '.ssh' / 'config').write_text(
            f'Host {self.HOST}\n    HostName 127.0.0.1\n    Port {self.port}\n    User root\n'
            f'    IdentityFile {self.home}/.ssh/id_ed25519\n'
        )

    def launch(self) -> None:
        """Start the server; it needs the folder that Debian creates at boot."""
        Path('/run/sshd').mkdir(mode=0o755, exist_ok=True)
        self.spawn('/usr/sbin/sshd', '-D', '-e', '-f', self.configuration)

    def answers(self) -> bool:
        """Return whether the server greets."""
        with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', self.port), timeout=2) as client:
            return client.recv(4) == b'SSH-'
        return False
