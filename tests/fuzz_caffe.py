"""The test of broken weight files on N of them: python -m tests.fuzz_caffe N SEED"""

import itertools
import sys
import tempfile
from pathlib import Path

from .zoo.test_caffe import SMART, broken_files_that_convert

number, seed = int(sys.argv[1]) // 4, int(sys.argv[2])
with tempfile.TemporaryDirectory() as folder:
    for name, old in itertools.product(SMART, (False, True)):
        converted = broken_files_that_convert(Path(folder, 'net'), name, old, number, seed)
        form = 'layers' if old else 'layer'
        print(f'{name}, {form}: {converted} of {number} convert as a whole', flush=True)
