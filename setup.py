"""The one build step that pyproject.toml cannot say: containerd's API, compiled from our own .proto files.

``shoal.container.containerd.pb`` is made anew by every build (``pip install .``, ``pip install -e .``) and by
``python setup.py compile_protos`` in a checkout; it is never committed. Only messages are compiled: the calls are
named where they are used, with ``shoal.container.containerd.rpc``, since the plugin's stubs carry no types.
"""

from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc
from setuptools import Command, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
PACKAGE = "shoal.container.containerd.pb"
SOURCES = HERE / "src/shoal/container/containerd/proto"
TARGET = HERE / "src" / Path(*PACKAGE.split("."))


def compile_protos() -> None:
    """Compile every file of ``SOURCES`` into ``TARGET``: modules and their type stubs."""
    TARGET.mkdir(exist_ok=True)
    # The sources are presented as lying in the package itself, so that the generated imports are absolute ones.
    status = protoc.main(
        [
            "protoc",
            f"-I{'/'.join(PACKAGE.split('.'))}={SOURCES}",
            f"-I{files('grpc_tools') / '_proto'}",
            f"--python_out={HERE / 'src'}",
            f"--pyi_out={HERE / 'src'}",
            *(f"{'/'.join(PACKAGE.split('.'))}/{path.name}" for path in sorted(SOURCES.glob("*.proto"))),
        ]
    )
    if status != 0:
        raise SystemExit(f"protoc failed with status {status}")
    # Last: whoever sees the package sees all of it.
    (TARGET / "__init__.py").write_text('"""Compiled from ../proto by setup.py; never edited, never committed."""\n')


class CompileProtos(Command):
    """Compile the .proto files, for work in a checkout."""

    description = "compile containerd's .proto files into the source tree"
    user_options: list[tuple[str, str | None, str]] = []

    def initialize_options(self) -> None:
        """No options."""

    def finalize_options(self) -> None:
        """No options."""

    def run(self) -> None:
        compile_protos()


class BuildPy(build_py):
    """``build_py``, the protos compiled first; their package is not there yet when packages are looked for."""

    def run(self) -> None:
        compile_protos()
        if PACKAGE not in self.packages:
            self.packages.append(PACKAGE)
        self.package_data.setdefault(PACKAGE, []).append("*.pyi")
        super().run()


setup(cmdclass={"build_py": BuildPy, "compile_protos": CompileProtos})
