import { python } from '/opt/runner/actions/python.mjs'

python('checkout')
