"""Carry out studies and write what they say: tools/study.py CONFIG... [--report FILE.md] ..."""

import argparse
import os
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('configs', nargs='+', type=Path, help='configs of studies')
    parser.add_argument('--only', nargs='+', default=[], help='names of rows and conditions')
    parser.add_argument('--seeds', type=int, default=3, help='seeds from 0 on')
    parser.add_argument('--processes', type=int, default=os.cpu_count(), help='runs side by side')
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/study'), help='folder of the results'
    )
    parser.add_argument('--report', type=Path, help='Markdown page that gets tables and pictures')
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before the imports below, which take seconds


from artnet_mm.study import Study, carry_out, choose, prepare
from artnet_mm.study.report import write_report


def main(args: argparse.Namespace) -> None:
    try:
        studies = [Study(config, args.work_dir) for config in args.configs]
        chosen = choose(studies, args.only, args.seeds)
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    problems, ready = [], {}
    for study, runs in chosen.items():
        done = study.read()
        missing = [run for run in runs if run not in done]
        print(f'{study.config}: {len(runs) - len(missing)} of {len(runs)} runs are done')
        try:
            if missing:
                prepare(study, missing)
                ready[study] = missing
        except SystemExit as error:
            problems.append(f'{study.config}: {error}')
            print(problems[-1], flush=True)
    for study, missing in ready.items():
        failed = carry_out(study, missing, args.processes)
        problems += [f'{study.config}: {run}: {reason}' for run, reason in failed.items()]
    if args.report:
        write_report(studies, args.report)
    if problems:
        lines = '\n'.join(problems)
        raise SystemExit(f'{lines}\nerror: not all is done; the same command tries it again')


if __name__ == '__main__':
    main(ARGS)
