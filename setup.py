"""The one build step that pyproject.toml cannot say: containerd's and etcd's APIs, compiled from our own .proto files.

A package ``pb`` beside each folder ``proto`` is made anew by every build (``pip install .``, ``pip install -e .``) and
by ``python setup.py compile_protos`` in a checkout; it is never committed. Only messages are compiled: the calls are
named where they are used, with ``shoal.wire.rpc``, since the plugin's stubs carry no types.
"""

from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc
from setuptools import Command, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
PACKAGES = ("shoal.container.containerd.pb", "shoal.store.etcd.pb")


def compile_protos(package: str) -> None:
    """Compile the .proto files beside a package into it: modules and their type stubs."""
    target = HERE / "src" / Path(*package.split("."))
    sources = target.with_name("proto")
    target.mkdir(exist_ok=True)
    # The sources are presented as lying in the package itself, so that the generated imports are absolute ones.
    status = protoc.main(
        [
            "protoc",
            f"-I{'/'.join(package.split('.'))}={sources}",
            f"-I{files('grpc_tools') / '_proto'}",
            f"--python_out={HERE / 'src'}",
            f"--pyi_out={HERE / 'src'}",
            *(f"{'/'.join(package.split('.'))}/{path.name}" for path in sorted(sources.glob("*.proto"))),
        ]
    )
    if status != 0:
        raise SystemExit(f"protoc failed with status {status}")
    # Last: whoever sees the package sees all of it.
    (target / "__init__.py").write_text('"""Compiled from ../proto by setup.py; never edited, never committed."""\n')


class CompileProtos(Command):
    """Compile the .proto files, for work in a checkout."""

    description = "compile the .proto files into the source tree"
    user_options: list[tuple[str, str | None, str]] = []

    def initialize_options(self) -> None:
        """No options."""

    def finalize_options(self) -> None:
        """No options."""

    def run(self) -> None:
        for package in PACKAGES:
            compile_protos(package)


class BuildPy(build_py):
    """``build_py``, the protos compiled first; their packages are not there yet when packages are looked for."""

    def run(self) -> None:
        for package in PACKAGES:
            compile_protos(package)
            if package not in self.packages:
                self.packages.append(package)
            self.package_data.setdefault(package, []).append("*.pyi")
        super().run()


setup(cmdclass={"build_py": BuildPy, "compile_protos": CompileProtos})
