"""Carry out studies and write what they say: tools/study.py CONFIG... [--report FILE.md] ..."""

import argparse
import os
from pathlib import Path

from artnet_mm.evaluation.study_report import write_report
from artnet_mm.study import Study, carry_out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('configs', nargs='+', type=Path, help='configs of studies')
    parser.add_argument('--only', nargs='+', default=[], help='names of rows and conditions')
    parser.add_argument('--seeds', type=int, default=3, help='seeds from 0 on')
    parser.add_argument('--jobs', type=int, default=os.cpu_count(), help='runs side by side')
    parser.add_argument(
        '--results', type=Path, default=Path('work_dirs/study'), help='folder of the results'
    )
    parser.add_argument('--report', type=Path, help='Markdown page that gets tables and pictures')
    args = parser.parse_args()
    try:
        studies = [Study(config, args.results) for config in args.configs]
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    failed = {}
    for study in studies:
        failed |= carry_out(study, args.only, args.seeds, args.jobs)
    if args.report:
        write_report(studies, args.report)
    for run, reason in failed.items():
        print(f'{run}: {reason}')
    if failed:
        raise SystemExit(f'error: {len(failed)} runs failed; the same command tries them again')


if __name__ == '__main__':
    main()
