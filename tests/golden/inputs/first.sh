#!/bin/sh
echo ran once
